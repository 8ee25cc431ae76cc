package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

const (
	eventsPath = workspacePath + "/audit_events"
	eventPath  = eventsPath + "/{id}"
	auditTag   = "Audit log"
)

func (s *Server) registerAudit() {
	register(s, operation{
		id: "list-audit-events", method: http.MethodGet, path: eventsPath, tag: auditTag,
		summary: "Search the audit log", description: "Newest first. The states of actor and target are those that they have now; a target that is neither a service account nor a member has none.",
		access: permission, needs: iam.ReadAudit, success: http.StatusOK,
	}, s.listEvents)
	register(s, operation{
		id: "get-audit-event", method: http.MethodGet, path: eventPath, tag: auditTag,
		summary: "Read an event of the audit log", access: permission, needs: iam.ReadAudit, success: http.StatusOK,
	}, s.getEvent)
	s.registerExport()
}

// EventFilters narrow a search of the audit log.
type EventFilters struct {
	From      time.Time `query:"from" doc:"Only events at or after this time." example:"2026-11-01T00:00:00.000000Z"`
	To        time.Time `query:"to" doc:"Only events before this time." example:"2026-12-01T00:00:00.000000Z"`
	Actor     string    `query:"actor" doc:"Only what this principal did: its id."`
	ActorType string    `query:"actor_type" enum:"member,service_account,system,anonymous" doc:"Only what actors of this type did."`
	Action    string    `query:"action" doc:"Only this action." example:"key.created"`
	Target    string    `query:"target" doc:"Only what was done to this: its id."`
	Outcome   string    `query:"outcome" enum:"done,refused" doc:"Only attempts that ended so."`
	Source    string    `query:"source" doc:"Only what was done from this address."`
	Query     string    `query:"q" doc:"Only events with words that begin with these: in what they name, their action, reason, ids and address."`
}

func (f EventFilters) filter() iam.EventFilter {
	return iam.EventFilter{
		From: f.From, To: f.To, Actor: f.Actor, ActorType: audit.ActorType(f.ActorType), Action: f.Action,
		Target: f.Target, Outcome: audit.Outcome(f.Outcome), Source: f.Source, Query: f.Query,
	}
}

type listEventsInput struct {
	InWorkspace
	Paging
	EventFilters
}

func (s *Server) listEvents(ctx context.Context, c iam.Caller, in *listEventsInput) (*answer[api.List[api.AuditEvent]], error) {
	f := in.filter()
	p, err := s.page(c, in.Paging, eventsPath, f)
	if err != nil {
		return nil, err
	}
	list, err := s.iam.Events(ctx, c, in.Workspace, f, p.Page)
	return listed(p, list, err, auditEvent)
}

type getEventInput struct {
	InWorkspace
	ID string `path:"id" doc:"Id of the event." example:"evt_01jn8x0c2vf3hs5r6tq7w8y9za"`
}

func (s *Server) getEvent(ctx context.Context, c iam.Caller, in *getEventInput) (*answer[api.AuditEvent], error) {
	e, err := s.iam.Event(ctx, c, in.Workspace, iam.EventID(in.ID))
	if err != nil {
		return nil, err
	}
	return &answer[api.AuditEvent]{auditEvent(e)}, nil
}

const (
	jsonlType = "application/jsonl"
	csvType   = "text/csv; charset=utf-8; header=present" // RFC 4180, section 3
)

func (s *Server) registerExport() {
	op := operation{
		id: "export-audit-events", endless: true, method: http.MethodGet, path: eventsPath + "/export", tag: auditTag,
		summary: "Export the audit log",
		description: "Oldest first, as JSON lines or as CSV, streamed. Every part is sent only if the calling key still " +
			"may: when it no longer does, the connection breaks before the end of the body, as it does after any " +
			"other failure, so that a part is never taken for the whole.",
		access: permission, needs: iam.ExportAudit, success: http.StatusOK,
	}
	register(s, op, s.exportEvents)
	s.describeExport(&op)
}

// describeExport documents a body that package huma does not write.
func (s *Server) describeExport(op *operation) {
	d := documented(s.api, op)
	if d == nil {
		return // register has found fault with the row
	}
	text := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	ok := d.Responses["200"]
	ok.Content = map[string]*huma.MediaType{jsonlType: text, "text/csv": text}
	ok.Headers = map[string]*huma.Param{"Content-Disposition": {Schema: &huma.Schema{Type: huma.TypeString}}}
}

type exportEventsInput struct {
	InWorkspace
	EventFilters
	Format string `query:"format" enum:"jsonl,csv" default:"jsonl" doc:"JSON lines, each an AuditEvent, or CSV that opens no formula in a spreadsheet."`
}

type exportEventsOutput struct{ Body func(huma.Context) }

func (s *Server) exportEvents(_ context.Context, c iam.Caller, in *exportEventsInput) (*exportEventsOutput, error) {
	return &exportEventsOutput{func(ctx huma.Context) {
		r, w := humago.Unwrap(ctx)
		s.export(w, r, c, in)
	}}, nil
}

// export streams the audit log. What goes wrong before the first byte is a
// problem like any other; after it, the connection breaks.
func (s *Server) export(w http.ResponseWriter, r *http.Request, c iam.Caller, in *exportEventsInput) {
	d := &download{w: w, format: in.Format, name: "audit-" + c.Workspace.Name}
	again := func() (iam.Caller, error) {
		if err := d.flush(); err != nil {
			return iam.Caller{}, err
		}
		return s.authenticate(r)
	}
	err := s.iam.Export(r.Context(), c, in.Workspace, in.filter(), again, d.write)
	if err == nil {
		err = d.end()
	}
	switch {
	case err == nil:
	case !d.begun():
		s.fail(w, r, ofQuery(err))
	default:
		s.log.WarnContext(r.Context(), "an export was broken off",
			"request_id", requestOf(r.Context()).id, "error", token.Conceal(err.Error()))
		panic(http.ErrAbortHandler)
	}
}

// download is an export on its way to a client. Nothing is sent before there is
// something to send, so that a refusal can still be a problem.
type download struct {
	w      http.ResponseWriter
	format string
	name   string // of the file, without what says its format
	out    audit.Exporter
}

func (d *download) begun() bool { return d.out != nil }

func (d *download) begin() {
	kind, open := jsonlType, func(w io.Writer) audit.Exporter { return audit.NewJSONL(w) }
	if d.format == "csv" {
		kind, open = csvType, func(w io.Writer) audit.Exporter { return audit.NewCSV(w) }
	}
	d.w.Header().Set("Content-Type", kind)
	d.w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="%s.%s"`, d.name, d.format))
	d.w.WriteHeader(http.StatusOK)
	d.out = open(d.w)
}

func (d *download) write(e iam.AuditEvent) error {
	if !d.begun() {
		d.begin()
	}
	return d.out.Write(e.Event, audit.States{Actor: string(e.ActorState), Target: string(e.TargetState)})
}

// stall is how long a client may take for one part of an export.
const stall = time.Minute

// flush sends what was written so far.
func (d *download) flush() error {
	control := http.NewResponseController(d.w)
	// The clock of the network, not the one that is injected. It also takes the
	// place of a deadline for the answer as a whole, which a long export outlasts.
	if err := control.SetWriteDeadline(time.Now().Add(stall)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("give a client time: %w", err)
	}
	if !d.begun() {
		return nil
	}
	if err := d.out.Flush(); err != nil {
		return err
	}
	return control.Flush()
}

// end sends the rest, which may be all there is.
func (d *download) end() error {
	if !d.begun() {
		d.begin()
	}
	return d.flush()
}
