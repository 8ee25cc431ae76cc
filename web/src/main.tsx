import "@fontsource-variable/inter";
import "./styles/console.css";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { ProblemError } from "./api/problem";
import { createConsole } from "./router";
import { applyTheme } from "./shell/theme";
import { Tips } from "./ui/tip";
import { Toasts } from "./ui/toast";

applyTheme();

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      // What the server refuses, it refuses again; only what did not arrive is worth another try.
      retry: (failures, error) => !(error instanceof ProblemError && error.problem.status < 500) && failures < 2,
    },
  },
});

const root = document.getElementById("app");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={queries}>
        <Tips>
          <Toasts>
            <RouterProvider router={createConsole(queries)} />
          </Toasts>
        </Tips>
      </QueryClientProvider>
    </StrictMode>,
  );
}
