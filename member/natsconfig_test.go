package member

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestNATSConfigIsChecked(t *testing.T) {
	for _, c := range []struct {
		config NATSConfig
		want   string // in the error; "": there is none
	}{
		{NATSConfig{}, ""},
		{NATSConfig{URL: "nats://a:4222"}, ""},
		{NATSConfig{URL: "nats://a, tls://[::1]:4222", User: "u", Password: "secret", CA: "ca.pem", Cert: "c.pem", Key: "k.pem"}, ""},
		{NATSConfig{URL: "tls://a", Token: "secret"}, ""},
		{NATSConfig{URL: "nats://a", Credentials: "a.creds"}, ""},
		{NATSConfig{User: "u"}, "without a url"},
		{NATSConfig{URL: "a:4222"}, "want nats://host:port"},
		{NATSConfig{URL: "nats://"}, "want nats://host:port"},
		{NATSConfig{URL: "http://a"}, `scheme "http"`},
		{NATSConfig{URL: "nats://a,"}, "want nats://host:port"},
		{NATSConfig{URL: "nats://u:secret@a"}, "credentials do not belong"},
		{NATSConfig{URL: "nats://secret\x00@a"}, "want nats://host:port"},
		{NATSConfig{URL: "nats://a:0"}, "port 0"},
		{NATSConfig{URL: "nats://a/secret"}, "nothing after the port"},
		{NATSConfig{URL: "nats://a", User: "u"}, "user and password"},
		{NATSConfig{URL: "nats://a", Password: "secret"}, "user and password"},
		{NATSConfig{URL: "nats://a", User: "u", Password: "secret", Token: "secret"}, "one of user"},
		{NATSConfig{URL: "nats://a", Token: "secret", Credentials: "a.creds"}, "one of user"},
		{NATSConfig{URL: "nats://a", Cert: "c.pem"}, "cert and key"},
	} {
		err := Config{Settings: Settings{NATS: c.config}}.WithDefaults().Validate()
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%v: %v", c.config, err)
		case c.want != "" && (!errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%v: %v; want %s", c.config, err, c.want)
		case err != nil && strings.Contains(err.Error(), "secret"):
			t.Errorf("a secret is in the error: %v", err)
		}
	}

	c := Config{Settings: Settings{NATS: NATSConfig{URL: "nats://a", User: "u", Password: "secret", Token: "secret"}}}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, c); strings.Contains(text, "secret") {
			t.Errorf("%s prints a secret: %s", format, text)
		}
	}
}
