package chaos

import (
	"io"
	"net"
	"sync"
	"time"
)

// Weather is what a proxy does to what passes. The zero Weather is fair.
type Weather struct {
	HoldUp   bool          // what the client sends is kept back, and passes when the weather is fair again
	HoldDown bool          // what the server sends is
	Refuse   bool          // new connections are reset
	Delay    time.Duration // before each piece, in each direction
	Piece    int           // bytes that pass at once; 0: as they come
}

// Proxy stands between one node and PostgreSQL. What it holds back is not lost,
// as on a network: when the weather is fair again it arrives, late, whatever has
// become of whoever sent it. It is safe for concurrent use.
type Proxy struct {
	listener net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex // guards what follows
	target  string
	weather Weather
	changed chan struct{} // closed when the weather changes
	links   map[*link]bool
}

// link is one connection of a client and the one to the server that it leads to.
type link struct{ client, server *net.TCPConn }

// NewProxy listens on a free port of the loopback address, for a server.
func NewProxy(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, target: target, changed: make(chan struct{}), links: map[*link]bool{}}
	p.running.Go(p.accept)
	return p, nil
}

// Addr returns where clients connect to.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close ends all connections, and waits for them.
func (p *Proxy) Close() {
	_ = p.listener.Close()        // it is not needed any more
	p.Turn(Weather{})             // nobody waits
	p.Turn(Weather{Refuse: true}) // who was just let in
	p.Reset()
	p.running.Wait()
}

// Turn changes the weather, for what is under way too.
func (p *Proxy) Turn(w Weather) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.weather = w
	close(p.changed)
	p.changed = make(chan struct{})
}

// Lead makes new connections lead to another server. Those that are there stay.
func (p *Proxy) Lead(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Reset breaks all connections off, on both sides.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for one := range p.links {
		one.breakOff()
	}
}

// Owns reports whether a port is the local one of a connection to the server.
func (p *Proxy) Owns(port int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for one := range p.links {
		if one.server.LocalAddr().(*net.TCPAddr).Port == port {
			return true
		}
	}
	return false
}

func (p *Proxy) now() (w Weather, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.weather, p.changed
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return // it was closed
		}
		p.running.Go(func() { p.join(conn.(*net.TCPConn)) })
	}
}

// join leads a client to the server, until both directions have ended.
func (p *Proxy) join(client *net.TCPConn) {
	p.mu.Lock()
	target, refuse := p.target, p.weather.Refuse
	p.mu.Unlock()
	if refuse {
		reset(client)
		return
	}
	server, err := net.DialTimeout("tcp", target, 2*time.Second)
	if err != nil {
		reset(client) // as the server's machine does when nobody listens
		return
	}
	one := &link{client, server.(*net.TCPConn)}
	if !p.enter(one) {
		return
	}
	var directions sync.WaitGroup
	directions.Go(func() { p.pass(one.client, one.server, func(w Weather) bool { return w.HoldUp }) })
	directions.Go(func() { p.pass(one.server, one.client, func(w Weather) bool { return w.HoldDown }) })
	directions.Wait()
	p.leave(one)
}

func (p *Proxy) enter(one *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.weather.Refuse {
		one.breakOff()
		return false
	}
	p.links[one] = true
	return true
}

func (p *Proxy) leave(one *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, one)
	_ = one.client.Close() // both have ended
	_ = one.server.Close()
}

// pass hands on what comes from one side to the other, in the weather that there
// is, and then that it has ended.
func (p *Proxy) pass(from, to *net.TCPConn, held func(Weather) bool) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err := p.hand(buffer[:n], to, held); err != nil {
			reset(from)
			return
		}
		switch err {
		case nil:
		case io.EOF:
			p.await(held)
			_ = to.CloseWrite() // it may be gone
			return
		default: // broken off
			reset(to)
			return
		}
	}
}

// hand writes what was read, in pieces when the weather is bad.
func (p *Proxy) hand(read []byte, to *net.TCPConn, held func(Weather) bool) error {
	for len(read) > 0 {
		n := len(read)
		if w := p.await(held); w.Piece > 0 {
			n = min(n, w.Piece)
		}
		if _, err := to.Write(read[:n]); err != nil {
			return err
		}
		read = read[n:]
	}
	return nil
}

// await returns when the next piece may pass, and in what weather.
func (p *Proxy) await(held func(Weather) bool) Weather {
	w, _ := p.now()
	if w.Delay > 0 {
		time.Sleep(w.Delay) // a slow network
	}
	for {
		w, changed := p.now()
		if !held(w) {
			return w
		}
		<-changed
	}
}

func (one *link) breakOff() {
	reset(one.client)
	reset(one.server)
}

// reset ends a connection without a farewell.
func reset(conn *net.TCPConn) {
	_ = conn.SetLinger(0) // it may be closed already
	_ = conn.Close()
}
