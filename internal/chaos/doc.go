// Package chaos tries the promise of strict revocation on the real thing: three
// processes of the real program on a real PostgreSQL with a standby, fifty verifiers
// in processes of their own that follow them, and three gateways by their recipes,
// under load, while nodes are stopped, killed, cut off and told to leave, verifiers
// too, connections stall, drip and break, and the database crashes and fails over.
//
// What is tried, in the words of docs/consistency.md:
//
//   - Taking. Once a call that takes power away has returned success, a
//     verification that begins later, at any [Door], is never answered "valid".
//   - Giving. Once a call that gives power has returned, a verification that
//     begins later sees it, or hears "stale"; never "not found".
//   - Nodes come back by themselves, and where nothing is wrong, keys that are
//     valid are accepted. Refusing everything is not a pass.
//
// A [History] is all that was done to the keys of one [Subject] and all that was
// read of them; its judge is a pure function, see [History.Judge]. Load makes the
// histories: hunters make keys, wait until they are accepted, and take them away;
// verifiers, gateways and askers of [Outsider]s ask about just those keys, at all
// doors, when it matters. Faults run beside them. Times are of this process's own
// monotonic clock, and taken so that a violation is one whatever the network did: a
// call has returned when all of its answer has been read, and a verification begins
// before its first byte is sent.
//
// Besides, a single process is killed again and again while it writes: a change and
// its audit event are one, see [Killings] and [Ledger.Judge].
//
// Wall clocks that are set, and clocks that drift, are simulated in
// internal/fence: all nodes here share the clocks of one machine.
package chaos
