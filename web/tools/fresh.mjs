// Builds the console anew and compares it with what is committed: exits with 1 when
// the two differ. Compressed files may differ from one version of Node to the next,
// so of those it is compared what they hold.
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { build } from "vite";

const web = resolve(import.meta.dirname, "..");
const committed = resolve(web, "../internal/console/dist");
const anew = mkdtempSync(join(tmpdir(), "postern-console-"));

/** contents are the files of a folder by name, as they are when they are unpacked. */
function contents(folder) {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" });
  const files = names.filter((n) => statSync(join(folder, n)).isFile());
  return new Map(files.sort().map((n) => [n, unpacked(n, readFileSync(join(folder, n)))]));
}

function unpacked(name, bytes) {
  if (name.endsWith(".gz")) return gunzipSync(bytes);
  if (name.endsWith(".br")) return brotliDecompressSync(bytes);
  return bytes;
}

try {
  await build({
    root: web,
    configFile: join(web, "vite.config.ts"),
    logLevel: "warn",
    build: { outDir: anew, emptyOutDir: true },
  });
  const [is, shouldBe] = [contents(committed), contents(anew)];
  const differ = [...new Set([...is.keys(), ...shouldBe.keys()])].filter(
    (n) => !is.has(n) || !shouldBe.has(n) || !is.get(n).equals(shouldBe.get(n)),
  );
  if (differ.length > 0) {
    console.error(
      `internal/console/dist is not what web/ builds: run make web and commit it\n  ${differ.join("\n  ")}`,
    );
    process.exitCode = 1;
  } else {
    console.log(`internal/console/dist: ${is.size} files are what web/ builds`);
  }
} finally {
  rmSync(anew, { recursive: true, force: true });
}
