// Package securitytest attacks the API as a running agent serves it, by the OWASP API Security Top 10 of 2023. What each test is
// about is in its name; operations are taken from the document that the agent itself serves, so that one that is added is tested.
package securitytest
