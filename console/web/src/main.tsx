import "./styles/base.css";
import "./styles/layout.css";
import "./styles/parts.css";
import { createRoot } from "react-dom/client";
import { App } from "./app";
import { preferred, setLanguage } from "./i18n";
import { loadTheme } from "./parts/theme";

loadTheme();
await setLanguage(preferred(), false);
const root = document.getElementById("root");
if (root) createRoot(root).render(<App />);
