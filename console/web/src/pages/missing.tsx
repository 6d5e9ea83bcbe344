import { Link } from "react-router";
import { useT } from "../i18n";
import { Empty, Page } from "../parts/states";

export default function Missing() {
  const t = useT();
  return (
    <Page title={t.errors.notFound}>
      <Empty icon="findings" title={t.errors.noPage}>
        <Link to="/">{t.errors.home}</Link>
      </Empty>
    </Page>
  );
}
