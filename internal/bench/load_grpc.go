package bench

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"
)

// grpcSpeaker asks Envoy's question over HTTP/2 (RFC 9113), one call after the other,
// with frames that are prepared: a client of gRPC takes more of a processor than the
// server that is measured.
type grpcSpeaker struct {
	asks   *questions
	pick   *rand.PCG
	text   []byte
	heads  []byte // of each call, encoded
	stream uint32
	unread uint32 // bytes of answers that the server has not been told were read

	decoder *hpack.Decoder
	status  string // of the call, from its trailers
	allowed bool
}

func speakGRPC(asks *questions, seed uint64) (speaker, error) {
	s := &grpcSpeaker{asks: asks, pick: rand.NewPCG(seed, 1)}
	s.decoder = hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		if f.Name == "grpc-status" {
			s.status = f.Value
		}
	})
	var heads bytes.Buffer
	encoder := hpack.NewEncoder(&heads)
	encoder.SetMaxDynamicTableSizeLimit(0) // each call has the same bytes
	for _, f := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", "/envoy.service.auth.v3.Authorization/Check"}, {":authority", "localhost"},
		{"content-type", "application/grpc"}, {"te", "trailers"},
	} {
		if err := encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			return nil, err
		}
	}
	s.heads = heads.Bytes()
	return s, nil
}

const (
	frameHead  = 9       // bytes
	window     = 1 << 30 // bytes that the server may send before it hears that some were read
	windowStep = 1 << 20
)

// appendFrame appends the head of a frame, and its payload.
func appendFrame(out []byte, kind http2.FrameType, flags http2.Flags, stream uint32, payload []byte) []byte {
	n := len(payload)
	out = append(out, byte(n>>16), byte(n>>8), byte(n), byte(kind), byte(flags))
	out = binary.BigEndian.AppendUint32(out, stream)
	return append(out, payload...)
}

// next implements [speaker].
func (s *grpcSpeaker) next(out []byte) []byte {
	if s.stream == 0 {
		out = append(out, http2.ClientPreface...)
		out = appendFrame(out, http2.FrameSettings, 0, 0, binary.BigEndian.AppendUint32([]byte{0, byte(http2.SettingInitialWindowSize)}, windowStep))
		out = appendFrame(out, http2.FrameWindowUpdate, 0, 0, binary.BigEndian.AppendUint32(nil, window))
		s.stream = 1
	} else {
		s.stream += 2
	}
	s.status, s.allowed = "", false
	s.text = s.asks.appendTo(s.text[:0], s.pick)
	out = appendFrame(out, http2.FrameHeaders, http2.FlagHeadersEndHeaders, s.stream, s.heads)
	return appendFrame(out, http2.FrameData, http2.FlagDataEndStream, s.stream, s.text)
}

// hear implements [speaker].
func (s *grpcSpeaker) hear(in []byte) (used int, reply []byte, ended bool, err error) {
	for len(in)-used >= frameHead && !ended {
		frame := in[used:]
		size := frameHead + int(frame[0])<<16 + int(frame[1])<<8 + int(frame[2])
		if len(frame) < size {
			break
		}
		used += size
		if reply, ended, err = s.frame(http2.FrameType(frame[3]), http2.Flags(frame[4]), frame[frameHead:size], reply); err != nil {
			return used, nil, false, err
		}
	}
	if s.unread > windowStep {
		reply = appendFrame(reply, http2.FrameWindowUpdate, 0, 0, binary.BigEndian.AppendUint32(nil, s.unread))
		s.unread = 0
	}
	if ended && (!s.allowed || s.status != "0") {
		err = fmt.Errorf("%w: grpc-status %s", errAnswer, s.status)
	}
	return used, reply, ended, err
}

// frame takes one frame, and appends what is to be sent because of it.
func (s *grpcSpeaker) frame(kind http2.FrameType, flags http2.Flags, payload, reply []byte) (_ []byte, ended bool, err error) {
	switch kind {
	case http2.FrameSettings:
		if !flags.Has(http2.FlagSettingsAck) {
			reply = appendFrame(reply, http2.FrameSettings, http2.FlagSettingsAck, 0, nil)
		}
	case http2.FramePing:
		if !flags.Has(http2.FlagPingAck) {
			reply = appendFrame(reply, http2.FramePing, http2.FlagPingAck, 0, payload)
		}
	case http2.FrameData:
		s.unread += uint32(len(payload))
		s.allowed = s.allowed || bytes.Contains(payload, s.asks.says)
		return reply, flags.Has(http2.FlagDataEndStream), nil
	case http2.FrameHeaders:
		if _, err := s.decoder.Write(payload); err != nil {
			return nil, false, fmt.Errorf("read an answer's headers: %w", err)
		}
		return reply, flags.Has(http2.FlagHeadersEndStream), nil
	case http2.FrameRSTStream, http2.FrameGoAway:
		return nil, false, errors.New("the server ends the connection")
	}
	return reply, false, nil
}

// checkCalls returns calls as Envoy makes them, for keys of one length.
func checkCalls(keys []byte, length int) (questions, error) {
	held := make([]byte, length)
	for i := range held {
		held[i] = '?'
	}
	text, err := proto.Marshal(&authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
			SocketAddress: &corev3.SocketAddress{Address: "192.0.2.7", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 443}},
		}}},
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: "GET", Path: "/tickets", Host: "tickets.internal",
			Headers: map[string]string{"authorization": "Bearer " + string(held), "user-agent": "postern-bench", "accept": "*/*"},
		}},
		ContextExtensions: map[string]string{"permission": permission},
	}})
	if err != nil {
		return questions{}, fmt.Errorf("encode a question of Envoy's: %w", err)
	}
	message := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(text))) // not compressed, and its length
	message = append(message, text...)
	before, after, _ := bytes.Cut(message, held)
	return questions{before: before, after: after, keys: keys, length: length, each: 1, says: []byte("x-postern-principal")}, nil
}
