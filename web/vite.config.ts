import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";
import { compress } from "./tools/compress.ts";

/** compressed writes what is built with gzip and brotli too. */
function compressed(): Plugin {
  let folder = "";
  return {
    name: "compressed",
    apply: "build",
    configResolved: (config) => {
      folder = config.build.outDir;
    },
    closeBundle: (error?: Error) => {
      if (!error) compress(folder);
    },
  };
}

// The built page lies where the binary embeds it. Its names hold hashes of what is
// in them, so that a browser may keep every file but index.html for good.
export default defineConfig({
  plugins: [react(), compressed()],
  build: {
    outDir: "../internal/console/dist",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    manifest: "manifest.json",
    sourcemap: false,
    chunkSizeWarningLimit: 800,
  },
  server: {
    port: 7071,
    // A server to develop against; without people signing in, with the key in POSTERN_KEY.
    proxy: {
      "/v1": {
        target: process.env.POSTERN_SERVER ?? "http://localhost:7070",
        ...(process.env.POSTERN_KEY && { headers: { Authorization: `Bearer ${process.env.POSTERN_KEY}` } }),
      },
    },
  },
  test: { environment: "happy-dom", include: ["src/**/*.test.{ts,tsx}"] },
});
