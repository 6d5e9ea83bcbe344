import { Component, type ReactNode } from "react";
import { t } from "../i18n";

/** A fault in one page leaves the way to the others. */
export class Boundary extends Component<{ children: ReactNode }, { fault?: Error }> {
  override state: { fault?: Error } = {};

  static getDerivedStateFromError(fault: unknown) {
    return { fault: fault instanceof Error ? fault : new Error(String(fault)) };
  }

  override render() {
    const { fault } = this.state;
    if (!fault) return this.props.children;
    return (
      <div className="failed" role="alert">
        <h1>{t().errors.fault}</h1>
        <p>{fault.message}</p>
        <button type="button" onClick={() => location.reload()}>
          {t().words.reload}
        </button>
      </div>
    );
  }
}
