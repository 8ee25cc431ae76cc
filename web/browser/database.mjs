import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";

/** database makes an empty database in the PostgreSQL of the run, and returns its URL. */
export async function database() {
  const cluster = process.env.POSTERN_TEST_POSTGRES;
  if (!cluster) throw new Error("there is no PostgreSQL: run this with make browser");
  const name = `browser_${randomBytes(6).toString("hex")}`;
  execFileSync("psql", [cluster, "-qc", `CREATE DATABASE ${name}`], { stdio: "inherit" });
  const url = new URL(cluster);
  url.pathname = `/${name}`;
  return url.href;
}
