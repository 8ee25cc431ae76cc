import "@fontsource-variable/inter";
import "./styles/console.css";
import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { ProblemError, problemOf } from "./api/problem";
import { createConsole } from "./router";
import { stale } from "./shell/live";
import { applyTheme } from "./shell/theme";
import { Tips } from "./ui/tip";
import { Toasts } from "./ui/toast";

applyTheme();

/** heard looks at what every answer says of the node, and of who is signed in. */
function heard(error: unknown) {
  const problem = problemOf(error);
  if (problem.code === "stale") stale.set(true);
  const outside = /^\/(signin|setup|invite)/.test(location.pathname);
  if (problem.status === 401 && !outside) {
    queries.clear();
    void router.navigate({ to: "/signin", search: { to: location.pathname + location.search } });
  }
}

const queries = new QueryClient({
  queryCache: new QueryCache({ onError: heard, onSuccess: () => stale.set(false) }),
  mutationCache: new MutationCache({ onError: heard }),
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      // What the server refuses, it refuses again; only what did not arrive is worth another try.
      retry: (failures, error) => !(error instanceof ProblemError && error.problem.status < 500) && failures < 2,
    },
  },
});

const router = createConsole(queries);

const root = document.getElementById("app");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={queries}>
        <Tips>
          <Toasts>
            <RouterProvider router={router} />
          </Toasts>
        </Tips>
      </QueryClientProvider>
    </StrictMode>,
  );
}
