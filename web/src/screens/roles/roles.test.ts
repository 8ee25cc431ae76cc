import { expect, it } from "vitest";
import type { Role } from "../../api/queries";
import { ordered } from "./choose";
import { put } from "./editor";
import { parse } from "./form";
import { inWords } from "./words";

it("puts a permission into a set once, and takes it out", () => {
  expect(put(["a:read"], "b:read", true)).toEqual(["a:read", "b:read"]);
  expect(put(["a:read", "b:read"], "b:read", true)).toEqual(["a:read", "b:read"]);
  expect(put(["a:read", "b:read"], "a:read", false)).toEqual(["b:read"]);
});

it("reads a JSON list of texts, and nothing else", () => {
  expect(parse('["a:read"]')).toEqual(["a:read"]);
  for (const wrong of ["", "{}", "[1]", '"a"', "[null]"]) expect(parse(wrong)).toBeUndefined();
});

it.each([
  [[], "Nothing"],
  [["*:read", "*:execute"], "Read, execute everything in the product"],
  [["*:*", "iam.*:*"], "Do anything with everything in the product, do anything with all settings"],
  [["iam.keys:verify"], "Verify keys (settings)"],
  [["a:read", "b:read", "c:read", "d:read"], "Read a, read b, read c and 1 more"],
])("says of %j: %s", (permissions, want) => expect(inWords(permissions)).toBe(want));

it("offers least privilege first, and Owner to people only", () => {
  const role = (name: string, kind: Role["kind"] = "built_in") => ({ name, kind }) as Role;
  const all = [
    role("admin"),
    role("owner"),
    role("zebra", "custom"),
    role("operator"),
    role("viewer"),
    role("ant", "custom"),
  ];
  expect(ordered(all, false).map((r) => r.name)).toEqual(["operator", "viewer", "admin", "ant", "zebra"]);
  expect(ordered(all, true).map((r) => r.name)).toContain("owner");
});
