import { BookOpen } from "lucide-react";
import { type ReactNode, useEffect } from "react";

interface HeadProps {
  title: string;
  /** Beside the title, such as a state. */
  badge?: ReactNode;
  text?: ReactNode;
  actions?: ReactNode;
  /** Where the page is. */
  crumbs?: ReactNode;
  /** The page of the documentation that says more. */
  docs?: string;
}

/** DocsLink leads to a page of the documentation, which this server has too. */
export function DocsLink({ page = "", children }: { page?: string; children: ReactNode }) {
  return (
    <a className="docs-link" href={`/docs/${page}`} target="_blank" rel="noreferrer">
      <BookOpen aria-hidden />
      {children}
      <span className="hidden-text"> (opens in a new tab)</span>
    </a>
  );
}

/** Head says what a page is, and holds what can be done there. It names the tab of
    the browser too. */
export function Head({ title, badge, text, actions, crumbs, docs }: HeadProps) {
  useEffect(() => {
    document.title = `${title} – Postern`;
  }, [title]);
  return (
    <header className="head">
      {crumbs && (
        <nav className="crumbs" aria-label="Where this page is">
          {crumbs}
        </nav>
      )}
      <div className="head-row">
        <div className="grow">
          <div className="row">
            <h1>{title}</h1>
            {badge}
          </div>
          {text && <div className="dim head-text">{typeof text === "string" ? <p>{text}</p> : text}</div>}
          {docs && <DocsLink page={docs}>Learn more</DocsLink>}
        </div>
        {actions && <div className="row">{actions}</div>}
      </div>
    </header>
  );
}

/** Section is a part of a page with a title of its own. */
export function Section({
  title,
  text,
  actions,
  children,
}: {
  title: string;
  text?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
}) {
  return (
    <section className="section">
      <div className="head-row">
        <div className="grow">
          <h2>{title}</h2>
          {text && <p className="dim">{text}</p>}
        </div>
        {actions}
      </div>
      {children}
    </section>
  );
}

/** Panel is a box with something that belongs together. */
export function Panel({ children, tone }: { children: ReactNode; tone?: "danger" }) {
  return (
    <div className="panel" data-tone={tone}>
      {children}
    </div>
  );
}
