package api

// SessionPerson is somebody who signs in: one identity, a member of any number of
// workspaces.
type SessionPerson struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Email       string `json:"email"`
	HasPassword bool   `json:"has_password"`
	Passkeys    int64  `json:"passkeys" doc:"How many there are."`
}

// SessionPlace is a workspace in which somebody who signed in works.
type SessionPlace struct {
	Workspace SessionWorkspace `json:"workspace"`
	Member    Ref              `json:"member"`
	Role      Ref              `json:"role"`
}

// SessionWorkspace is a workspace as those who sign in see it.
type SessionWorkspace struct {
	ID     string `json:"id"`
	Slug   string `json:"slug"`
	Name   string `json:"name"`
	System bool   `json:"system" doc:"Its members operate the deployment."`
}

// Session is one time that somebody signed in, on one browser.
type Session struct {
	ID              string `json:"id"`
	Current         bool   `json:"current" doc:"It is the one that asks."`
	Method          string `json:"method" enum:"password,passkey,sso"`
	CreatedAt       Time   `json:"created_at"`
	LastSeenAt      Time   `json:"last_seen_at" doc:"At most a minute behind. Without use for 12 hours it ends."`
	AuthenticatedAt Time   `json:"authenticated_at" doc:"When its holder last proved who they are."`
	ExpiresAt       Time   `json:"expires_at" doc:"When it ends, whatever happens."`
	Source          Source `json:"source"`
}

// CurrentSession is the session that a call is made with.
type CurrentSession struct {
	Session    Session        `json:"session"`
	Person     SessionPerson  `json:"person"`
	Workspace  string         `json:"workspace" doc:"Id of the workspace that - means."`
	Workspaces []SessionPlace `json:"workspaces" doc:"Where this session works. Who joins another workspace signs in again to get there."`
	FreshUntil Time           `json:"fresh_until" doc:"Until then nothing answers step_up_required."`
}

// PasskeyProof is what an authenticator answered to a challenge.
type PasskeyProof struct {
	Ceremony   string         `json:"ceremony" doc:"As POST /v1/passkeys/options answered."`
	Credential map[string]any `json:"credential" doc:"What the browser's PublicKeyCredential says in toJSON()."`
}

// NewPasskeyProof is what an authenticator answered to the wish for a new passkey.
type NewPasskeyProof struct {
	Ceremony   string         `json:"ceremony" doc:"As POST /v1/passkeys/options answered."`
	Credential map[string]any `json:"credential" doc:"What the browser's PublicKeyCredential says in toJSON()."`
	Name       string         `json:"name,omitempty" doc:"What its owner calls it. Absent: after the browser."`
}

// SignIn is the body of POST /v1/sessions: an address and a password, or a passkey.
type SignIn struct {
	Email     string        `json:"email,omitempty"`
	Password  string        `json:"password,omitempty"`
	Passkey   *PasskeyProof `json:"passkey,omitempty"`
	Workspace string        `json:"workspace,omitempty" doc:"Where to work, by id or slug. Absent: wherever its holder is a member first."`
}

// StepUp is the body of POST /v1/sessions/step_up.
type StepUp struct {
	Password string        `json:"password,omitempty"`
	Passkey  *PasskeyProof `json:"passkey,omitempty"`
}

// MoveSession is the body of PATCH /v1/sessions/current.
type MoveSession struct {
	Workspace string `json:"workspace" doc:"Id or slug of the workspace to work in from now on."`
}

// SignInMethods says how people sign in here.
type SignInMethods struct {
	Initialized bool     `json:"initialized" doc:"False: nobody can, before a setup link was used."`
	Password    bool     `json:"password"`
	Passkey     bool     `json:"passkey" doc:"False where this server's address cannot have passkeys, such as an IP address."`
	SSO         *SSOName `json:"sso" doc:"Null: there is no single sign-on."`
}

// SSOName is a provider of single sign-on.
type SSOName struct {
	Name  string `json:"name" example:"Example SSO"`
	Start string `json:"start" doc:"Where to send the browser." example:"/v1/oidc/start"`
}

// EndedSession answers DELETE /v1/sessions/{id}.
type EndedSession struct {
	Session  Session `json:"session"`
	Receipt  Receipt `json:"receipt"`
	Revision int64   `json:"revision"`
}

// EndedSessions answers what ends all other sessions of a person.
type EndedSessions struct {
	Ended    int64   `json:"ended" doc:"How many there were."`
	Receipt  Receipt `json:"receipt"`
	Revision int64   `json:"revision"`
}

// ChangePassword is the body of PUT /v1/password.
type ChangePassword struct {
	Current string `json:"current,omitempty" doc:"The one that is to end. Absent where there is none yet."`
	New     string `json:"new" doc:"12 to 256 characters."`
}

// PasskeyOptionsRequest is the body of POST /v1/passkeys/options.
type PasskeyOptionsRequest struct {
	For   string `json:"for" enum:"sign_in,step_up,register" doc:"What the passkey is to do. step_up and register are for who has signed in; register also for who shows a token."`
	Token string `json:"token,omitempty" doc:"With register: of a setup link or an invitation."`
	Email string `json:"email,omitempty" doc:"With the token of the first setup link: the owner's address."`
	Name  string `json:"name,omitempty" doc:"With a token: the name that the browser shows beside the passkey."`
}

// PasskeyOptions are the options of a ceremony.
type PasskeyOptions struct {
	Ceremony  string         `json:"ceremony" doc:"To be sent along with what the authenticator answers. It works once."`
	PublicKey map[string]any `json:"public_key" doc:"For PublicKeyCredential.parseCreationOptionsFromJSON or parseRequestOptionsFromJSON."`
	ExpiresAt Time           `json:"expires_at"`
}

// Passkey is what is kept of a passkey.
type Passkey struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	CreatedAt  Time   `json:"created_at"`
	LastUsedAt *Time  `json:"last_used_at" doc:"Null: it was never used to sign in."`
}

// RenamePasskey is the body of PATCH /v1/passkeys/{id}.
type RenamePasskey struct {
	Name string `json:"name"`
}

// PasskeyAnswer answers a change of a passkey.
type PasskeyAnswer struct {
	Passkey  Passkey `json:"passkey"`
	Revision int64   `json:"revision"`
}

// Setup is the body of POST /v1/setup, which a setup link leads to: the first of a
// deployment, with workspace and owner, or one of a member, with a credential alone.
type Setup struct {
	Token     string          `json:"token" doc:"From the link."`
	Workspace *SetupWorkspace `json:"workspace,omitempty" doc:"With the first link: the system workspace."`
	Owner     SetupOwner      `json:"owner"`
}

// SetupWorkspace is the workspace that a first setup makes.
type SetupWorkspace struct {
	Name string `json:"name"`
	Slug string `json:"slug,omitempty" doc:"Absent: made of the name."`
}

// SetupOwner is who sets up, and what they sign in with from now on: a password or a
// passkey.
type SetupOwner struct {
	Name     string           `json:"name,omitempty"`
	Email    string           `json:"email,omitempty"`
	Password string           `json:"password,omitempty"`
	Passkey  *NewPasskeyProof `json:"passkey,omitempty"`
}

// DeviceCodeRequest is the body of POST /v1/device/code (RFC 8628, 3.1).
type DeviceCodeRequest struct {
	Name string `json:"name,omitempty" doc:"What the program calls itself, such as the machine it runs on." example:"laptop"`
}

// DeviceCode answers POST /v1/device/code (RFC 8628, 3.2).
type DeviceCode struct {
	DeviceCode      string `json:"device_code"`
	UserCode        string `json:"user_code" doc:"To be compared in both places." example:"WDJB-MJHT"`
	VerificationURI string `json:"verification_uri"`
	ExpiresIn       int64  `json:"expires_in" doc:"Seconds."`
	Interval        int64  `json:"interval" doc:"Seconds to wait between two calls of /v1/device/token."`
}

// DeviceTokenRequest is the body of POST /v1/device/token (RFC 8628, 3.4).
type DeviceTokenRequest struct {
	GrantType  string `json:"grant_type,omitempty" doc:"urn:ietf:params:oauth:grant-type:device_code"`
	DeviceCode string `json:"device_code"`
}

// DeviceToken answers POST /v1/device/token once the device was approved.
type DeviceToken struct {
	AccessToken string       `json:"access_token" doc:"The value of a personal key, this once."`
	TokenType   string       `json:"token_type" enum:"Bearer"`
	Key         Key          `json:"key"`
	Workspace   WorkspaceRef `json:"workspace"`
	Revision    int64        `json:"revision"`
}

// OAuthError is an error as programs of OAuth 2.0 read it (RFC 6749, 5.2; RFC 8628,
// 3.5), to those that sent a form.
type OAuthError struct {
	Error       string `json:"error" enum:"authorization_pending,slow_down,access_denied,expired_token,invalid_grant,invalid_request,invalid_scope,unsupported_grant_type,temporarily_unavailable,server_error"`
	Description string `json:"error_description,omitempty"`
}

// DeviceLookup is the body of POST /v1/device/lookup.
type DeviceLookup struct {
	UserCode string `json:"user_code" example:"WDJB-MJHT"`
}

// Device is a program that asks to act for who approves it.
type Device struct {
	UserCode  string `json:"user_code"`
	Name      string `json:"name"`
	Source    Source `json:"source" doc:"Where it asks from."`
	State     string `json:"state" enum:"pending,approved,denied"`
	CreatedAt Time   `json:"created_at"`
	ExpiresAt Time   `json:"expires_at"`
}

// ApproveDevice is the body of POST /v1/device/approve.
type ApproveDevice struct {
	UserCode string `json:"user_code" doc:"As the program shows it."`
	Approve  bool   `json:"approve" doc:"False: refuse it."`
}

// DeviceAnswer answers POST /v1/device/approve.
type DeviceAnswer struct {
	Device   Device `json:"device"`
	Revision int64  `json:"revision"`
}
