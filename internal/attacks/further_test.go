package attacks_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/store/storetest"
)

// further are attacks that are on no list, each against a deployment of its own.
var further = map[string]func(*testing.T, *world){
	"an invitation used a thousand times at once":   anInvitationUsedAtOnce,
	"more invitations at once than there are seats": seatsTakenAtOnce,
	"resuming what is being revoked":                resumingWhatIsBeingRevoked,
	"two admins who demote each other":              adminsWhoDemoteEachOther,
	"networks in other notations":                   networksInOtherNotations,
	"names that look like others":                   namesThatLookLikeOthers,
	"a role that is taken away and made again":      aRoleMadeAgain,
	"policies that are met in name only":            policiesMetInName,
}

func TestFurtherAttacks(t *testing.T) {
	storetest.Above(t, func(t *testing.T, _ string) {
		for name, attack := range further {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				attack(t, newWorld(t, freshURL(t)))
			})
		}
	})
}

// atOnce makes n calls at the same time and returns how many answers there were of
// each status.
func atOnce(n int, call func(i int) answer) map[int]int {
	answers := make([]answer, n)
	var together sync.WaitGroup
	for i := range n {
		together.Go(func() { answers[i] = call(i) })
	}
	together.Wait()
	counts := map[int]int{}
	for _, a := range answers {
		counts[a.status]++
	}
	return counts
}

func anInvitationUsedAtOnce(t *testing.T, w *world) {
	uses := 1000
	if testing.Short() {
		uses = 50
	}
	token := w.must("POST", in("-", "invitations"), w.owner, body{"email": "jo@example.com", "role": "viewer"}).str("token")
	counts := atOnce(uses, func(i int) answer {
		var headers []string
		if i%2 == 0 {
			headers = []string{"Idempotency-Key", "use-" + itoa(i)}
		}
		return w.call("POST", "/v1/invitations/accept", "", body{"token": token, "name": "Jo " + itoa(i), "key": body{"name": "first"}}, headers...)
	})
	if counts[http.StatusCreated] != 1 || counts[http.StatusGone] != uses-1 {
		t.Errorf("an invitation used %d times at once: %v, want one 201 and else 410", uses, counts)
	}
	if n := len(w.must("GET", in("-", "members?q=jo@example.com"), w.owner, nil).items()); n != 1 {
		t.Errorf("it made %d members", n)
	}
	if n := len(w.must("GET", in("-", "keys?principal_type=member"), w.owner, nil).items()); n != 2 { // the owner's too
		t.Errorf("there are %d keys of members, want 2", n)
	}
}

func seatsTakenAtOnce(t *testing.T, w *world) {
	const limit = 6
	w.must("PATCH", "/v1/workspaces/-", w.owner, body{"policy": body{"seat_limit": limit}})
	tokens := make([]string, 40)
	counts := atOnce(len(tokens), func(i int) answer {
		a := w.call("POST", in("-", "invitations"), w.owner, body{"email": fmt.Sprintf("jo-%d@example.com", i), "role": "viewer"})
		tokens[i] = a.str("token")
		return a
	})
	if counts[http.StatusCreated] != limit-1 || counts[http.StatusConflict] != len(tokens)-limit+1 {
		t.Errorf("%d seats, one held, and %d invitations at once: %v", limit, len(tokens), counts)
	}
	w.must("PATCH", "/v1/workspaces/-", w.owner, body{"policy": body{"seat_limit": 3}}) // fewer than are held already
	counts = atOnce(len(tokens), func(i int) answer {
		if tokens[i] == "" {
			return answer{}
		}
		return w.call("POST", "/v1/invitations/accept", "", body{"token": tokens[i], "name": "Jo"})
	})
	if counts[http.StatusCreated] != 2 || counts[http.StatusGone] != limit-3 {
		t.Errorf("3 seats, one held, and %d acceptances at once: %v", limit-1, counts)
	}
}

// resumingWhatIsBeingRevoked makes every change that gives, of a key and of its
// account, while one of the two is revoked: revoking is final.
func resumingWhatIsBeingRevoked(t *testing.T, w *world) {
	for i := range 15 {
		name := "bot-" + itoa(i)
		account := in("-", "service_accounts/"+w.account("-", w.owner, name, "operator"))
		made := w.newKey("-", w.owner, name)
		key := in("-", "keys/"+made.str("id"))
		w.must("POST", key+"/pause", w.owner, nil)
		revoked := []string{key, account}[i%2]
		gifts := []func() answer{
			func() answer { return w.call("POST", key+"/resume", w.owner, nil) },
			func() answer { return w.call("POST", account+"/resume", w.owner, nil) },
			func() answer { return w.call("PATCH", key, w.owner, body{"expires_at": nil}) },
			func() answer { return w.call("PATCH", account, w.owner, body{"role": "admin"}) },
			func() answer { return w.call("POST", revoked+"/revoke", w.owner, nil) },
			func() answer { return w.call("POST", revoked+"/pause", w.owner, nil) },
		}
		counts := atOnce(len(gifts), func(j int) answer { return gifts[j]() })
		if counts[http.StatusOK]+counts[http.StatusConflict] != len(gifts) {
			t.Errorf("changes at the same time as a revocation: %v", counts)
		}
		w.refuses(made.str("value"), "revoked", "principal_inactive")
		w.wants(w.call("POST", revoked+"/resume", w.owner, nil), http.StatusConflict, "")
	}
}

// adminsWhoDemoteEachOther act at the same moment, each with a power that the
// other is taking: what they do must have had an order.
func adminsWhoDemoteEachOther(t *testing.T, w *world) {
	b := w.newTenant("acme")
	for i := range 10 {
		var values, ids [2]string
		for j := range values {
			values[j], ids[j] = w.member("-", b.owner, fmt.Sprintf("admin-%d-%d@acme.example", i, j), "admin")
		}
		counts := atOnce(2, func(j int) answer {
			return w.call("PATCH", in("-", "members/"+ids[1-j]), values[j], body{"role": "viewer"})
		})
		if counts[http.StatusOK] != 1 || counts[http.StatusForbidden] != 1 {
			t.Errorf("two admins who demote each other: %v, want one 200 and one 403", counts)
		}
	}
}

func networksInOtherNotations(t *testing.T, w *world) {
	bot := w.account("-", w.owner, "bot", "operator")
	for _, text := range []string{
		"::ffff:10.0.0.0/104", "10.0.0.1/8", "10.0.0.0/08", "10.0.0.0/33", "10.0.0.0/-1", "010.0.0.0/8", "fe80::1%eth0", "127.1", "0x7f.0.0.1",
		"2130706433", "localhost", " 127.0.0.1", "127.0.0.1/32 ", "", "*", "127.0.0.1,10.0.0.0/8",
	} {
		a := w.call("POST", in("-", "service_accounts/"+bot+"/keys"), w.owner, body{"name": "x", "allowed_networks": []string{text}})
		w.wants(a, http.StatusUnprocessableEntity, "validation_failed")
	}
	for network, allowed := range map[string]string{
		"::ffff:10.1.2.3": "10.1.2.3 ::ffff:10.1.2.3 ::ffff:a01:203", "10.0.0.0/8": "10.1.2.3 ::ffff:10.1.2.3 ::ffff:a01:203",
		"::/0": "::1 ::10.1.2.3", "0.0.0.0/0": "10.1.2.3 ::ffff:10.1.2.3 ::ffff:a01:203 8.8.8.8", "::10.0.0.0/104": "::10.1.2.3",
	} {
		value := w.keyOf("-", w.owner, bot, body{"allowed_networks": []string{network}})
		for _, ip := range []string{"10.1.2.3", "::ffff:10.1.2.3", "::ffff:a01:203", "::1", "::10.1.2.3", "8.8.8.8"} {
			got := w.must("POST", "/v1/verify", w.prober, body{"key": value, "workspace": "any", "source": body{"ip": ip}}).at("valid")
			if want := slices.Contains(strings.Fields(allowed), ip); got != want {
				t.Errorf("a key for %s from %s is valid: %v, want %v", network, ip, got, want)
			}
		}
	}
	// Nobody is nearer for saying so.
	value := w.keyOf("-", w.owner, bot, body{"allowed_networks": []string{"203.0.113.7"}})
	for _, header := range []string{"X-Forwarded-For", "X-Real-Ip", "Forwarded", "X-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Originating-Ip"} {
		said := "203.0.113.7"
		if header == "Forwarded" {
			said = "for=" + said
		}
		w.wants(w.call("GET", "/v1/whoami", value, nil, header, said), http.StatusUnauthorized, "unauthenticated")
	}
}

// namesThatLookLikeOthers are those of built-in roles with something in them that
// nobody sees, nothing but that, and words that the API has a meaning for.
func namesThatLookLikeOthers(t *testing.T, w *world) {
	for _, name := range []string{
		"viewer\ufe0f", "vie\u034fwer", "viewer\u200d", "\u3164", "\u2800", "\u115f\u1160", "\uffa0viewer", "viewer\U000e0100", "viewer\u180b",
		"viewer\u00a0", "Viewer ", "VIEWER", "-", "self", "me", "role_viewer",
	} {
		for path, in1 := range map[string]body{
			"roles": {"name": name, "permissions": []string{"docs:read"}}, "me/keys": {"name": name},
		} {
			if path == "me/keys" && strings.EqualFold(name, "viewer") {
				continue // a key may have the name of a role
			}
			a := w.call("POST", in("-", path), w.owner, in1)
			if a.status != http.StatusUnprocessableEntity {
				t.Errorf("%s named %q: %d %s", path, name, a.status, a.text)
			}
		}
	}
	for _, name := range []string{"équipe", "支援", "a b", "naïve·x"} {
		w.must("POST", in("-", "me/keys"), w.owner, body{"name": name})
	}
	for _, slug := range []string{"any", "-", "self", "me", "A", "é", "ws_1"} {
		w.wants(w.call("POST", "/v1/workspaces", w.owner, body{"name": "X", "slug": slug}), http.StatusUnprocessableEntity, "validation_failed")
	}
}

// aRoleMadeAgain gives nobody the new role who was offered the old one, and a
// cancelled name of an account leads to nobody else.
func aRoleMadeAgain(_ *testing.T, w *world) {
	b := w.newTenant("acme")
	w.must("POST", in("-", "roles"), b.owner, body{"name": "temporary", "permissions": []string{"docs:read"}})
	invitation := w.must("POST", in("-", "invitations"), b.owner, body{"email": "jo@acme.example", "role": "temporary"}).str("token")
	w.must("DELETE", in("-", "roles/temporary"), b.owner, nil)
	w.must("POST", in("-", "roles"), b.owner, body{"name": "temporary", "permissions": []string{"*:*"}})
	w.wants(w.call("POST", "/v1/invitations/accept", "", body{"token": invitation, "name": "Jo"}), http.StatusGone, "gone")

	w.account("-", b.owner, "payments", "operator")
	w.must("PATCH", in("-", "service_accounts/payments"), b.owner, body{"name": "old-payments"})
	w.wants(w.call("POST", in("-", "service_accounts"), b.owner, body{"name": "payments", "role": "viewer"}), http.StatusConflict, "name_taken")
	w.must("POST", in("-", "service_accounts/old-payments/revoke"), b.owner, nil)
	w.wants(w.call("POST", in("-", "service_accounts"), b.owner, body{"name": "old-payments", "role": "viewer"}), http.StatusConflict, "name_taken")
}

func policiesMetInName(_ *testing.T, w *world) {
	w.must("PATCH", "/v1/workspaces/-", w.owner, body{"policy": body{"owner_required": true, "account_key_max_days": 30, "account_key_default_days": 30}})
	for _, team := range []string{"", " ", "\u00a0", " \u3000 "} {
		w.wants(w.call("POST", in("-", "service_accounts"), w.owner, body{"name": "nobodys", "role": "viewer", "owner": team}), http.StatusUnprocessableEntity, "policy_violation")
	}
	w.must("POST", in("-", "service_accounts"), w.owner, body{"name": "bot", "role": "viewer", "owner": "Payments"})
	w.wants(w.call("PATCH", in("-", "service_accounts/bot"), w.owner, body{"owner": " "}), http.StatusUnprocessableEntity, "policy_violation")
	for _, end := range []body{{"expires_at": nil}, {"expires_in": "31d"}, {"expires_in": "721h"}, {"expires_at": "2099-01-01T00:00:00Z"}} {
		end["name"] = "long"
		w.wants(w.call("POST", in("-", "service_accounts/bot/keys"), w.owner, end), http.StatusUnprocessableEntity, "policy_violation")
	}
	// Nor in small steps: a key's life counts from when it was made.
	key := in("-", "keys/"+w.newKey("-", w.owner, "bot").str("id"))
	w.clock.advance(29 * 24 * time.Hour)
	later := w.clock.now().Add(30 * 24 * time.Hour).UTC().Format(time.RFC3339)
	w.wants(w.call("PATCH", key, w.owner, body{"expires_at": later}), http.StatusUnprocessableEntity, "policy_violation")
	w.wants(w.call("PATCH", key, w.owner, body{"expires_at": nil}), http.StatusUnprocessableEntity, "policy_violation")
}
