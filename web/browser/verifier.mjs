// A verifier outside the server, as far as the console sees one: it follows, and asks once
// for the right to answer.
import { randomBytes } from "node:crypto";

/** follow has a verifier follow a server with a key, and returns what ends it, when it was
    granted what its first question asked for. */
export async function follow(server, key, name) {
  const reporter = randomBytes(10).toString("hex");
  const headers = { Authorization: `Bearer ${key}` };
  const answer = await fetch(`${server.url}/v1/replica?name=${name}&reporter=${reporter}`, { headers });
  if (!answer.ok) throw new Error(`follow: ${answer.status} ${await answer.text()}`);
  const stream = answer.body.getReader();
  const { child, seq, chain } = await loaded(stream);
  await server.post(`/replica/${child}/renew`, { n: 1, seq, chain, wanted_ms: 2000 }, key);
  return () => stream.cancel();
}

/** loaded reads a stream up to the end of its snapshot: who follows, and where that is. */
async function loaded(stream) {
  let text = Buffer.alloc(0);
  let hello = {};
  for (;;) {
    const { value, done } = await stream.read();
    if (done) throw new Error("the stream ended before it was loaded");
    text = Buffer.concat([text, value]);
    for (let frame = first(text); frame; frame = first(text)) {
      text = text.subarray(frame.end);
      if (frame.kind === "H") hello = JSON.parse(frame.of);
      if (frame.kind === "S") return { child: hello.child, ...JSON.parse(frame.of) };
    }
  }
}

/** first is the first frame of a text, if all of it is there: its length as a varint, then
    its kind, then what it holds. */
function first(text) {
  for (let [at, length] = [0, 0]; at < text.length; at++) {
    length += (text[at] & 0x7f) << (7 * at);
    if (text[at] & 0x80) continue;
    const [begin, end] = [at + 1, at + 1 + length];
    if (text.length < end) return undefined;
    return { kind: String.fromCharCode(text[begin]), of: text.subarray(begin + 1, end), end };
  }
}
