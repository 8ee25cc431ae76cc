// Package prefetch has the processor fetch memory before it is needed, while it does
// something else. A load of the same memory would do so too, but the next instruction
// that is atomic for other processors waits for it, and it must not be what somebody
// else writes; a prefetch is waited for by nothing, reads nothing, and never fails.
//
// Where there is no such instruction, nothing is fetched.
package prefetch

import "unsafe"

// Line fetches the line of memory that p points to, 64 bytes on most processors,
// whatever is there and whoever writes it.
func Line[T any](p *T) { line(unsafe.Pointer(p)) }
