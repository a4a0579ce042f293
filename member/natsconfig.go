package member

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
)

// NATSConfig names NATS servers that run outside of the members. Events then go from member to member over these servers, in place of routes
// between the NATS servers in the members. Clients do not connect to them: they hear events through the client port of any member, as ever.
//
// All members need the same servers. Each needs credentials that allow it to publish and to subscribe to "grid.<cluster ID>.>", and nobody else
// should have any that allow publishing there: who may publish there can make listeners hear what never happened.
//
// The zero NATSConfig is none. At most one of User with Password, Token and Credentials is given.
type NATSConfig struct {
	// URL of a server, as in "nats://nats.example:4222", or of several servers of one NATS cluster, separated by commas. With the scheme tls the
	// connection is encrypted. It must not contain credentials.
	URL string
	// User and Password let the member in.
	User, Password string
	// Token lets the member in.
	Token string
	// Credentials is a file with a user's JWT and key, as nsc makes it.
	Credentials string
	// CA is a PEM file with the certificates that the server's certificate must be signed by. The default are the system's.
	CA string
	// Cert and Key are PEM files with the member's certificate and its key.
	Cert, Key string
}

// String returns c without its secrets.
func (c NATSConfig) String() string { return fmt.Sprintf("{URL:%s}", c.URL) }

// GoString returns c without its secrets.
func (c NATSConfig) GoString() string { return c.String() }

// LogValue returns c without its secrets.
func (c NATSConfig) LogValue() slog.Value { return slog.StringValue(c.String()) }

// check returns all that is wrong with c. No secret is in the errors.
func (c NATSConfig) check() (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.URL == "" {
		if c != (NATSConfig{}) {
			bad("credentials without a url")
		}
		return errs
	}

	for one := range strings.SplitSeq(c.URL, ",") {
		if err := checkNATSURL(strings.TrimSpace(one)); err != nil {
			errs = append(errs, err)
		}
	}

	ways := 0
	for _, given := range [...]bool{c.User != "" || c.Password != "", c.Token != "", c.Credentials != ""} {
		if given {
			ways++
		}
	}
	if ways > 1 {
		bad("want one of user with password, token, and credentials")
	}
	if (c.User == "") != (c.Password == "") {
		bad("want user and password, or neither")
	}
	if (c.Cert == "") != (c.Key == "") {
		bad("want cert and key, or neither")
	}
	return errs
}

// checkNATSURL returns what is wrong with the URL of one server. The text of the URL is in no error: it may hold a password.
func checkNATSURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Hostname() == "":
		return errors.New("url: want nats://host:port or tls://host:port")
	case u.Scheme != "nats" && u.Scheme != "tls":
		return fmt.Errorf("url: scheme %q, want nats or tls", u.Scheme)
	case u.User != nil:
		return errors.New("url: credentials do not belong into it, since it is logged: give user and password, or token")
	case u.Port() != "" && !validPort(u.Port()):
		return fmt.Errorf("url: port %s, want 1 to 65535", u.Port())
	case u.Path != "" || u.RawQuery != "" || u.Fragment != "":
		return errors.New("url: want nothing after the port")
	}
	return nil
}
