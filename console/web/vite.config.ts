import { defineConfig } from "vite";

// MW_API is the address of a running agent, for "npm run dev" alone.
const api = process.env.MW_API ?? "https://127.0.0.1:7443";

export default defineConfig({
  build: {
    target: "es2022",
    assetsInlineLimit: 0, // the policy of the server allows no data: address
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    sourcemap: false,
  },
  server: { host: "127.0.0.1", proxy: { "/api": { target: api, secure: false } } },
});
