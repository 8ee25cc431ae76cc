package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	protobuf "google.golang.org/protobuf/proto"
)

// Limits on what a proxy may take. It asks small questions and has them answered
// from memory.
const (
	headerTimeout  = 5 * time.Second
	answerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute // longer than proxies keep connections that they do not use
	maxHeader      = 64 << 10        // bytes; proxies allow clients less
	maxCheck       = 256 << 10       // bytes of a question of Envoy's, which has all headers
	maxStreams     = 4096            // questions at once on one connection
	prefaceRequest = "PRI * HTTP/2.0\r\n\r\n"
	prefaceRest    = "SM\r\n\r\n"
)

// Server serves a gateway: to those who begin with the preface of HTTP/2 (RFC 9113,
// section 3.4), which is Envoy, gRPC; to all others HTTP/1.1.
type Server struct {
	http *http.Server
	rpc  *grpc.Server
	h2   *passed

	begin sync.Once
	rpcs  sync.WaitGroup // the goroutine that serves h2
}

// NewServer returns what serves a gateway.
func NewServer(g *Gateway) *Server {
	s := &Server{h2: newPassed(), rpc: grpc.NewServer(
		grpc.ForceServerCodecV2(codec{}), grpc.MaxRecvMsgSize(maxCheck), grpc.MaxHeaderListSize(maxHeader),
		grpc.MaxConcurrentStreams(maxStreams), grpc.ConnectionTimeout(headerTimeout), grpc.WaitForHandlers(true),
		grpc.NumStreamWorkers(uint32(runtime.GOMAXPROCS(0))), // whose stacks need not grow for each question
	)}
	s.rpc.RegisterService(&authorization, g)
	plain := g.Handler()
	s.http = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "PRI" && r.ProtoMajor == 2 {
				s.pass(w)
				return
			}
			plain.ServeHTTP(w, r)
		}),
		ErrorLog:          slog.NewLogLogger(g.log.Handler(), slog.LevelWarn),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: answerTimeout, WriteTimeout: answerTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
	}
	return s
}

// pass hands a connection that begins with the preface of HTTP/2 to gRPC.
func (s *Server) pass(w http.ResponseWriter) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError) // HTTP/1.1 can always be hijacked
		return
	}
	_ = conn.SetDeadline(time.Now().Add(headerTimeout)) // if it fails, so will what follows
	rest := make([]byte, len(prefaceRest))
	if _, err := io.ReadFull(rw, rest); err != nil || string(rest) != prefaceRest {
		_ = conn.Close() // nobody is told
		return
	}
	buffered, _ := rw.Peek(rw.Reader.Buffered()) // no more than there is
	read := append([]byte(prefaceRequest+prefaceRest), buffered...)
	_ = conn.SetDeadline(time.Time{})
	s.h2.pass(&begun{Conn: conn, read: read})
}

// Serve answers whoever connects to a listener, until [Server.Shutdown] or
// [Server.Close]: then it returns [http.ErrServerClosed].
func (s *Server) Serve(l net.Listener) error {
	s.begin.Do(func() {
		s.rpcs.Go(func() { _ = s.rpc.Serve(s.h2) }) // it ends with h2
	})
	return s.http.Serve(l)
}

// Shutdown closes the listeners and lets what is under way come to its end, for as
// long as ctx does.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.rpc.GracefulStop() // which [grpc.Server.Stop] cuts short
	}()
	select {
	case <-stopped:
	case <-ctx.Done():
		err = errors.Join(err, ctx.Err())
		s.rpc.Stop()
		<-stopped
	}
	_ = s.h2.Close() // it never fails
	s.rpcs.Wait()
	return err
}

// Close ends everything at once.
func (s *Server) Close() error {
	err := s.http.Close()
	s.rpc.Stop()
	_ = s.h2.Close() // it never fails
	s.rpcs.Wait()
	return err
}

// begun is a connection of which something was read already.
type begun struct {
	net.Conn
	read []byte
}

// Read implements [io.Reader].
func (b *begun) Read(p []byte) (int, error) {
	if len(b.read) == 0 {
		return b.Conn.Read(p)
	}
	n := copy(p, b.read)
	b.read = b.read[n:]
	return n, nil
}

// passed is a listener for connections that another one accepted.
type passed struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPassed() *passed { return &passed{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *passed) pass(c net.Conn) {
	select {
	case p.conns <- c:
	case <-p.done:
		_ = c.Close() // nobody is told
	}
}

// Accept implements [net.Listener].
func (p *passed) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (p *passed) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

// Addr implements [net.Listener].
func (p *passed) Addr() net.Addr { return &net.UnixAddr{Name: "gateway", Net: "unix"} }

// encoded is an answer as it goes out.
type encoded []byte

// codec reads questions as protobuf, and writes answers, which are bytes already.
type codec struct{}

// Marshal implements encoding.CodecV2.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	out, ok := v.(encoded)
	if !ok {
		return nil, fmt.Errorf("gateway: an answer is %T, not bytes", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(out)}, nil
}

// Unmarshal implements encoding.CodecV2.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(protobuf.Message)
	if !ok {
		return fmt.Errorf("gateway: a question is %T, not a message", v)
	}
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	return protobuf.Unmarshal(buf.ReadOnlyData(), m)
}

// Name implements encoding.CodecV2.
func (codec) Name() string { return proto.Name }
