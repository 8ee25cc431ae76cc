// Package storetest says, as tests, what an [iam.Store] must do, and gives other
// packages' tests real databases to do it on.
package storetest
