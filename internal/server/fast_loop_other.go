//go:build !linux

package server

import "net"

// fastLoops drive no connections here: each has a [fastTalk].
type fastLoops struct{}

func newFastLoops(*FastServer) *fastLoops { return nil }

func (*fastLoops) take(*fastConn, net.Conn) bool { return false }
