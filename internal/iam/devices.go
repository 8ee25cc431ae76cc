package iam

import (
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/token"
)

// The states of a device that asks to act for a member.
const (
	DevicePending  = "pending"
	DeviceApproved = "approved"
	DeviceDenied   = "denied"
	DeviceUsed     = "used"
)

// Device is a program without a browser that asks to act for a member (RFC 8628).
type Device struct {
	Hash      token.Hash `json:"-"` // of the device code
	UserCode  string     // eight letters, as they are compared
	Name      string     // what it calls itself, such as its host
	Source    audit.Source
	CreatedAt time.Time
	ExpiresAt time.Time
	PolledAt  time.Time
	State     string
	SignIn    SignInID // that approved or denied it
	Workspace WorkspaceID
	Principal PrincipalID
}
