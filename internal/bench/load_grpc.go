package bench

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"
)

// grpcCaller asks Envoy's question over HTTP/2, one call after the other, with frames
// that are prepared: a client of gRPC takes more of a processor than the server that
// is measured.
type grpcCaller struct {
	conn   net.Conn
	framer *http2.Framer
	out    bytes.Buffer
	asks   *questions
	pick   *rand.PCG
	text   []byte
	heads  []byte // of each call, encoded
	stream uint32
	unread uint32 // bytes of answers that the server has not been told were read
	until  time.Time

	decoder *hpack.Decoder
	status  string // of the call, from its trailers
}

func dialGRPC(t *target, conn net.Conn, seed uint64) (caller, error) {
	c := &grpcCaller{conn: conn, asks: &t.asks, pick: rand.NewPCG(seed, 1), stream: 1}
	c.framer = http2.NewFramer(&c.out, conn)
	c.framer.SetReuseFrames()
	c.decoder = hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		if f.Name == "grpc-status" {
			c.status = f.Value
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
	c.heads = heads.Bytes()
	c.out.WriteString(http2.ClientPreface)
	if err := c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20}); err != nil {
		return nil, err
	}
	if err := c.framer.WriteWindowUpdate(0, 1<<30); err != nil {
		return nil, err
	}
	return c, c.flush()
}

func (c *grpcCaller) flush() error {
	_, err := c.conn.Write(c.out.Bytes())
	c.out.Reset()
	return err
}

// call implements [caller].
func (c *grpcCaller) call() error {
	if now := time.Now(); now.Add(patience).After(c.until) {
		c.until = now.Add(2 * patience)
		if err := c.conn.SetDeadline(c.until); err != nil {
			return err
		}
	}
	if c.stream >= 1<<31-2 {
		return errors.New("the connection has had all its streams")
	}
	c.text = c.asks.appendTo(c.text[:0], c.pick)
	if err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: c.stream, BlockFragment: c.heads, EndHeaders: true}); err != nil {
		return err
	}
	if err := c.framer.WriteData(c.stream, true, c.text); err != nil {
		return err
	}
	if err := c.flush(); err != nil {
		return err
	}
	allowed, err := c.answer()
	c.stream += 2
	switch {
	case err != nil:
		return err
	case !allowed || c.status != "0":
		return fmt.Errorf("%w: grpc-status %s", errAnswer, c.status)
	}
	return nil
}

// answer reads frames until the stream of the call has ended, and reports whether the
// answer lets the request through.
func (c *grpcCaller) answer() (allowed bool, err error) {
	c.status = ""
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return false, fmt.Errorf("read an answer: %w", err)
		}
		ended := false
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				err = c.framer.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				err = c.framer.WritePing(true, f.Data)
			}
		case *http2.DataFrame:
			c.unread += uint32(len(f.Data()))
			allowed = allowed || bytes.Contains(f.Data(), c.asks.says)
			ended = f.StreamEnded()
		case *http2.HeadersFrame:
			_, err = c.decoder.Write(f.HeaderBlockFragment())
			ended = f.StreamEnded()
		case *http2.RSTStreamFrame:
			return false, fmt.Errorf("%w: the stream was reset", errAnswer)
		case *http2.GoAwayFrame:
			return false, errors.New("the server ends the connection")
		}
		if err == nil && c.unread > 1<<20 {
			err, c.unread = c.framer.WriteWindowUpdate(0, c.unread), 0
		}
		if err != nil || ended {
			return allowed, err
		}
	}
}

// checkCalls returns calls as Envoy makes them, for keys of one length.
func checkCalls(keys []string) (questions, error) {
	held := make([]byte, len(keys[0]))
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
	return questions{before: before, after: after, keys: keys, each: 1, says: []byte("x-postern-principal")}, nil
}
