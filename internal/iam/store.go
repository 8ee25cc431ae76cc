package iam

import (
	"context"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/token"
)

// Store is the durable home of everything. Package store implements it on SQLite
// and on PostgreSQL; package storetest, which both must pass, is where the words
// below are put to the test.
type Store interface {
	Reader
	UsageStore
	PeopleStore

	// Change runs fn in one transaction whose first statement takes the next
	// number of the change log, so that transactions that change something run
	// one after another and each statement after it sees all that the last one
	// committed. What first names is read after that statement and before fn, in
	// the same round trip, and is what [Tx.Found] returns. What fn returns is
	// appended to the log under that number.
	//
	// When Change returns nil, all of it is durable. When it returns an error
	// that is [Unknown], the connection was lost during COMMIT: all of it may
	// be durable, or none. After any other error nothing is. fn may run more
	// than once and must have no effect outside tx.
	Change(ctx context.Context, first First, fn func(tx Tx) (Change, error)) (Commit, error)

	// Note runs fn in a transaction that appends to the audit log, keeps
	// idempotency records and completes receipts, and changes nothing else. It
	// does not take a number of the change log, so that refused attempts hold
	// nobody up.
	Note(ctx context.Context, fn func(tx NoteTx) error) error

	// OpenRotations returns at most limit rotations of any workspace that have not
	// ended, with ids after one, in the order of their ids, and the database's time.
	OpenRotations(ctx context.Context, after RotationID, limit int) ([]Rotation, time.Time, error)
	// DueTrials returns at most limit of those rotations whose trial is over and has
	// not been ended.
	DueTrials(ctx context.Context, limit int) ([]Rotation, time.Time, error)

	// Changes returns at most limit changes after seq, in order and without
	// gaps, the chain over them checked. after names the state that the caller
	// has: when the log's chain differs there, the error is [Diverged].
	Changes(ctx context.Context, after Position, limit int) ([]Change, Position, error)

	// Snapshot streams all that verification needs, as of one change, in the
	// order workspaces, roles, principals, keys, sessions that are not over. The sink must not keep what it
	// is given beyond the call. An error of the sink ends it.
	Snapshot(ctx context.Context, sink Sink) (Position, error)
}

// Position is a place in the change log: a number, the chain up to it and its time.
type Position struct {
	Seq   int64
	Chain Chain
	Time  time.Time
}

// Commit says where in the log a change stands.
type Commit struct {
	Seq  int64
	Time time.Time // the database's, as of the first statement
}

// Diverged means that the log in the database is not the one that was followed.
const Diverged = Kind("diverged")

// Sink takes in a snapshot.
type Sink interface {
	Workspace(WorkspaceRecord) error
	Role(RoleRecord) error
	Principal(PrincipalRecord) error
	Key(KeyRecord) error
}

// Reader looks things up. Each method that looks for one thing returns an error
// of kind [NotFound] when it is not there. Inside a [Tx] it sees the
// transaction's own writes.
//
// Where a method takes a workspace, things of another workspace are not there.
// ref is an id or a name; ids win. Lists are in the order of page.Sort, then id.
type Reader interface {
	PeopleReader

	Workspace(ctx context.Context, ref string) (Workspace, error) // by id or slug
	SystemWorkspace(ctx context.Context) (Workspace, error)       // not found before the store is initialised
	Workspaces(ctx context.Context, f WorkspaceFilter, page Page) (List[Workspace], error)

	ServiceAccount(ctx context.Context, ws WorkspaceID, ref string) (ServiceAccount, error)
	ServiceAccounts(ctx context.Context, ws WorkspaceID, f AccountFilter, page Page) (List[ServiceAccount], error)
	CountServiceAccounts(ctx context.Context, ws WorkspaceID, f AccountFilter) (int64, error)

	Member(ctx context.Context, ws WorkspaceID, id PrincipalID) (Member, error)
	Members(ctx context.Context, ws WorkspaceID, f MemberFilter, page Page) (List[Member], error)
	OwnersByEmail(ctx context.Context, email string) ([]Member, error) // active owners, in any workspace
	ActiveOwners(ctx context.Context, ws WorkspaceID) (int64, error)
	Seats(ctx context.Context, ws WorkspaceID, now time.Time) (Seats, error)
	PersonByEmail(ctx context.Context, email string) (Person, error)

	Principal(ctx context.Context, ws WorkspaceID, ref string) (Principal, error) // by id, or the name of a service account

	Role(ctx context.Context, ws WorkspaceID, ref string) (Role, error) // names ignore case
	Roles(ctx context.Context, ws WorkspaceID, f RoleFilter, page Page) (List[Role], error)

	Key(ctx context.Context, ws WorkspaceID, id KeyID) (Key, error)
	Keys(ctx context.Context, ws WorkspaceID, f KeyFilter, page Page) (List[Key], error)
	CountKeys(ctx context.Context, ws WorkspaceID, f KeyFilter) (int64, error)
	// KeyNumbers counts the keys that work now, and what an overview tells apart, in
	// one pass: those that end before a time, and that nobody has used since another.
	KeyNumbers(ctx context.Context, ws WorkspaceID, now, expireBefore, unusedSince time.Time) (KeyNumbers, error)
	// Descendants returns the keys and accounts that were made with key id, or
	// with a key that was itself made so, oldest first. Those already revoked
	// are among them.
	Descendants(ctx context.Context, ws WorkspaceID, id KeyID) ([]Key, []ServiceAccount, error)

	Rotation(ctx context.Context, ws WorkspaceID, id RotationID) (Rotation, error)
	Rotations(ctx context.Context, ws WorkspaceID, f RotationFilter, page Page) (List[Rotation], error)

	Invitation(ctx context.Context, ws WorkspaceID, id InvitationID) (Invitation, error)
	InvitationByToken(ctx context.Context, hash token.Hash) (Invitation, error)
	Invitations(ctx context.Context, ws WorkspaceID, f InvitationFilter, page Page) (List[Invitation], error)

	PermissionTypes(ctx context.Context, ws WorkspaceID) ([]PermissionType, error)

	Event(ctx context.Context, ws WorkspaceID, id EventID) (AuditEvent, error)
	Events(ctx context.Context, ws WorkspaceID, f EventFilter, page Page) (List[AuditEvent], error)
	// EventsAbout returns the events that changed a target after a revision,
	// oldest first.
	EventsAbout(ctx context.Context, ws WorkspaceID, target string, after int64) ([]audit.Event, error)

	// Receipt returns the receipt of a change: unless what it rests on has been
	// written down, it is not confirmed.
	Receipt(ctx context.Context, ws WorkspaceID, id ReceiptID) (Receipt, error)
	// StoppingReceipts returns receipts of changes after a revision that stopped keys,
	// that are not known to be confirmed, and that were made since a time: the newest
	// first.
	StoppingReceipts(ctx context.Context, ws WorkspaceID, after int64, since time.Time, most int) ([]Receipt, error)

	// UsagePoints returns how often keys, principals or the workspace itself were
	// accepted and refused, by id, in steps of a minute, an hour or a day (UTC)
	// that begin before to and do not end before from. Steps without use, and
	// subjects without any, are left out. Minutes are kept for three days, hours
	// for thirty-five, days for as long as the policy says.
	UsagePoints(ctx context.Context, ws WorkspaceID, subjects []string, from, to time.Time, step time.Duration) (map[string][]UsePoint, error)
	// UseRates returns how often keys were accepted and refused in the last ten
	// seconds or so, by reporter. Who counted nothing may be left out.
	UseRates(ctx context.Context) ([]UseRate, error)
	// Verifiers returns the verifiers outside the server with keys of the accounts
	// of a workspace, or, when that is empty, of all, that have not said goodbye and
	// were heard of within [VerifierShown].
	Verifiers(ctx context.Context, home WorkspaceID) ([]Follower, error)
	// UsageSubjects returns those of the ids that are of keys or principals of the
	// workspace, or its own, in any order.
	UsageSubjects(ctx context.Context, ws WorkspaceID, ids []string) ([]string, error)
	// UsageSources returns where a key is used from, the last first; the sum of
	// those that were too many comes at the end.
	UsageSources(ctx context.Context, ws WorkspaceID, key KeyID) ([]KeySource, error)
	// Asks returns what the keys of a principal were asked about since the
	// beginning of a day, the most frequent first.
	Asks(ctx context.Context, ws WorkspaceID, principal PrincipalID, since time.Time) ([]AskTotal, error)
	// PrincipalSources returns where the keys of a principal that are not revoked were
	// accepted from since a time, the last first.
	PrincipalSources(ctx context.Context, ws WorkspaceID, principal PrincipalID, since time.Time, most int) ([]KeySource, error)
	// Asked returns what a query is about, the most frequent first.
	Asked(ctx context.Context, ws WorkspaceID, q AskQuery) ([]AskGroup, error)
	// AskedBeyond returns how often keys were accepted in the groups that come after
	// the first ones.
	AskedBeyond(ctx context.Context, ws WorkspaceID, q AskQuery, first int) (ok int64, err error)
	// Evidence returns what is known, at one moment, of the use of two keys.
	Evidence(ctx context.Context, ws WorkspaceID, old, new KeyID) (Evidence, error)
	// Evidences is Evidence of several pairs of an old and a new key, of one moment.
	Evidences(ctx context.Context, ws WorkspaceID, pairs [][2]KeyID) ([]Evidence, error)

	// Initialized reports whether there is a system workspace.
	Initialized(ctx context.Context) (bool, error)
}

// NoteTx is what a transaction that changes nothing can do.
type NoteTx interface {
	// Now returns the database's time: never before that of an earlier change.
	Now() time.Time
	// AppendEvent numbers the event within its workspace and appends it.
	AppendEvent(ctx context.Context, e audit.Event) error
	// Remember keeps the outcome of a call for a replay. The first outcome of a
	// scope and a key stays. Outcomes older than [ReplayWindow] are dropped.
	Remember(ctx context.Context, r Replay) error
	// ConfirmReceipt writes down what a receipt rests on: by, durability, nodes
	// and how long it took. The first stays.
	ConfirmReceipt(ctx context.Context, r Receipt) error

	// TakeNotices returns up to when notices of the ends of keys were given, zero
	// when none ever were, and has everybody else who asks wait for the end of the
	// transaction.
	TakeNotices(ctx context.Context) (doneTo time.Time, err error)
	// NoticeKeys marks at most limit keys of which a notice is due and has not been
	// given, and returns them by their ends. Keys that were revoked, whose owner has
	// ended, or that were made no longer before their end than the notice is due are
	// passed over. Those of one end are told apart by their ids.
	NoticeKeys(ctx context.Context, due Notice, limit int) ([]Key, error)
	// EndNotices notes that all notices up to doneTo were given, and forgets the
	// marks of those that were due before keep.
	EndNotices(ctx context.Context, doneTo, keep time.Time) error
}

// Tx is what a [Store] can do inside a transaction that changes something.
// Inserts that a constraint refuses are of the kind that the constraint stands
// for, such as [NameTaken]; which call returns it, the insert or a later one of
// the same transaction, is up to the store.
type Tx interface {
	Reader
	NoteTx
	PeopleTx

	// Seq returns the number that this transaction took.
	Seq() int64

	// Found returns the rows that Change was to read first.
	Found() Found

	// Inserts and updates write all fields that are the noun's own; what is
	// joined or counted when it is read is left out. Updates never touch
	// what may not change: ids, hashes, who made it. Version becomes Seq.
	InsertWorkspace(ctx context.Context, w Workspace) error
	UpdateWorkspace(ctx context.Context, w Workspace) error
	InsertPerson(ctx context.Context, p Person) error
	InsertServiceAccount(ctx context.Context, a ServiceAccount) error
	UpdateServiceAccount(ctx context.Context, a ServiceAccount) error
	InsertMember(ctx context.Context, m Member) error
	UpdateMember(ctx context.Context, m Member) error
	InsertRole(ctx context.Context, r Role) error
	UpdateRole(ctx context.Context, r Role) error
	DeleteRole(ctx context.Context, ws WorkspaceID, id RoleID) error
	InsertKey(ctx context.Context, k Key) error
	UpdateKey(ctx context.Context, k Key) error
	// InsertRotation refuses with [RotationInProgress] a key that one is under way for.
	InsertRotation(ctx context.Context, r Rotation) error
	UpdateRotation(ctx context.Context, r Rotation) error
	// DisturbRotations notes of the open rotations of a workspace, of one owner's keys
	// or of one old key unless these are empty, that what was quiet until now proves
	// nothing. There may be none.
	DisturbRotations(ctx context.Context, ws WorkspaceID, owner PrincipalID, old KeyID) error
	InsertInvitation(ctx context.Context, i Invitation) error
	UpdateInvitation(ctx context.Context, i Invitation) error
	ReplacePermissionTypes(ctx context.Context, ws WorkspaceID, types []PermissionType) error

	// InsertReceipt adds the receipt of this change, which is not confirmed yet.
	InsertReceipt(ctx context.Context, r Receipt) error
}

// First names the rows that a change is decided from, as far as they are known
// before it begins. Empty fields name none.
type First struct {
	Workspace WorkspaceID  // the caller's; it is read along with the key
	Key       KeyID        // the caller's
	Session   SignInID     // the caller's, where there is no key
	Principal string       // of the same workspace: by id, or the name of a service account
	Target    KeyID        // of the same workspace: the key that the change is about
	Maker     bool         // whether Target made anything is asked too
	Account   string       // of the same workspace: the service account that the change is about, by id or name
	Replay    *Idempotency // the call, which may have been made before
}

// Found is what there was of what a [First] names. Nil is what was not there, or
// not asked for.
type Found struct {
	Key       *Key
	Session   *Session
	Workspace *Workspace
	Principal *Principal
	Target    *Key
	Maker     bool // Target made keys or accounts; false when it was not asked
	Account   *ServiceAccount
	Replay    *Replay // of the last [ReplayWindow]
}

// ReplayWindow is how long the outcome of a call is kept for its Idempotency-Key.
const ReplayWindow = 24 * time.Hour

// Replay is the outcome of a call that may be made again with the same
// Idempotency-Key. It holds no secret.
type Replay struct {
	Scope    string   // who called what: see [Idempotency]
	Key      string   // the header's value
	Body     [32]byte // SHA-256 of the request's body
	Kind     Kind     // empty when it was done, else what it was refused as
	Result   string   // JSON of what was made or changed, or of the [Error]
	Object   string   // the id of what was made, when a secret was shown with it
	Revision int64    // zero when it was refused
	At       time.Time
}

// Page asks for a part of a list.
type Page struct {
	Limit int      // 1 to 200
	Sort  string   // a field's name, "-" before it for descending; empty for the list's own order
	After []string // where the page before ended; nil for the first
}

// List is a part of a list.
type List[T any] struct {
	Items []T
	Next  []string // the After of the next page; nil when there is none
}

// WorkspaceFilter narrows a list of workspaces.
type WorkspaceFilter struct {
	State State
	Query string // part of the name or the slug
}

// AccountFilter narrows a list of service accounts. Empty fields do not.
type AccountFilter struct {
	State State  // active, paused or inactive
	Role  string // id or name
	Owner string
	Name  string // the whole name, which the account has or had: names are not given twice
	Query string // part of the name, the description or the owner
	Need  Need
}

// MemberFilter narrows a list of members.
type MemberFilter struct {
	State State
	Role  string
	Email string // the whole address
	Query string // part of the name or the address
}

// RoleFilter narrows a list of roles.
type RoleFilter struct {
	Kind  string // built_in or custom
	Query string
}

// KeyFilter narrows a list of keys.
type KeyFilter struct {
	Principal     PrincipalID
	PrincipalType PrincipalType
	Name          string // the whole name
	State         State  // as of Now: active, paused, expired or revoked
	ExpiresBefore time.Time
	UnusedSince   time.Time // made before it, and not accepted since
	UsedSince     time.Time // accepted since
	NeverUsed     bool      // never accepted
	NeverExpires  bool
	MachineLike   bool   // see [MachineLike]; as of Now
	Query         string // part of the key's or the owner's name
	Now           time.Time
}

// InvitationFilter narrows a list of invitations.
type InvitationFilter struct {
	State State
	Email string // the whole address
	Query string
	Now   time.Time
}

// EventFilter narrows a search of the audit log.
type EventFilter struct {
	From      time.Time // inclusive
	To        time.Time // exclusive
	Actor     string    // id
	ActorType audit.ActorType
	Action    string // "key.created"
	Target    string // id
	Outcome   audit.Outcome
	Source    string // address
	Query     string // words that the event holds, each by its beginning
}

// AuditEvent is an event together with the states that the principals which it
// names have now. TargetState is empty when what was acted on is none.
type AuditEvent struct {
	audit.Event
	ActorState  State
	TargetState State
}
