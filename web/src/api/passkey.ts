import { api, data, type Schema } from "./client";
import { ProblemError } from "./problem";

type Options = Schema["PasskeyOptionsRequest"];

/** hasPasskeys reports whether this browser can use passkeys at this address. */
export function hasPasskeys(): boolean {
  return typeof PublicKeyCredential !== "undefined" && "parseRequestOptionsFromJSON" in PublicKeyCredential;
}

/** refused is what is said when somebody closes the browser's dialog. */
function refused(cause: unknown): ProblemError {
  const name = cause instanceof Error ? cause.name : "";
  return new ProblemError({
    status: 0,
    code: "passkey_refused",
    title: "No passkey was used",
    detail:
      name === "InvalidStateError"
        ? "This device already has a passkey for this account."
        : "The browser was told to stop, or it took too long.",
  });
}

type Ceremony = { ceremony: string; credential: Record<string, unknown> };

/** provePasskey asks for a passkey that is there already. */
export async function provePasskey(what: "sign_in" | "step_up"): Promise<Ceremony> {
  const begun = await data(api.POST("/v1/passkeys/options", { body: { for: what } }));
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(begun.public_key as never);
  return { ceremony: begun.ceremony, credential: await answered(navigator.credentials.get({ publicKey })) };
}

/** makePasskey makes a new passkey on this device. */
export async function makePasskey(options: Omit<Options, "for"> = {}): Promise<Ceremony> {
  const begun = await data(api.POST("/v1/passkeys/options", { body: { ...options, for: "register" } }));
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(begun.public_key as never);
  return { ceremony: begun.ceremony, credential: await answered(navigator.credentials.create({ publicKey })) };
}

async function answered(asked: Promise<Credential | null>): Promise<Record<string, unknown>> {
  const credential = await asked.catch((cause: unknown) => {
    throw refused(cause);
  });
  if (!(credential instanceof PublicKeyCredential)) throw refused(undefined);
  return credential.toJSON() as Record<string, unknown>;
}

/** addPasskey makes a passkey for who is signed in. */
export const addPasskey = async () => data(api.POST("/v1/passkeys", { body: await makePasskey() }));
