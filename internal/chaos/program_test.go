package chaos

import "testing"

// A control that has nothing to take away would be the program itself.
func TestAControlWithoutACheckToTakeAwayIsNotBuilt(t *testing.T) {
	for _, text := range []string{"", leaseCheck + leaseCheck} {
		if got, err := withoutCheck(text); err == nil {
			t.Errorf("%q became %q", text, got)
		}
	}
}
