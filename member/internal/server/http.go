package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	// httpTimeout bounds one request on the HTTP port.
	httpTimeout = 10 * time.Second
	// httpDrain bounds how long a member that leaves waits for requests on the HTTP port.
	httpDrain = time.Second
)

// httpServer answers health checks on the HTTP port, and shows metrics there.
type httpServer struct{ srv *http.Server }

// HTTPConfig is what the HTTP port shows besides health.
type HTTPConfig struct {
	Metrics http.Handler // nil: no page for them
}

func (s *Server) startHTTP(l net.Listener) *httpServer {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		// A load balancer must send nobody here before clients are let in, nor while the member leaves.
		if !s.cfg.Standing().Ready {
			http.Error(w, "starting or stopping", http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ok")
	})

	if s.cfg.HTTP.Metrics != nil {
		mux.Handle("GET /metrics", s.cfg.HTTP.Metrics)
	}

	a := &httpServer{srv: &http.Server{Handler: mux, ReadHeaderTimeout: s.cfg.HelloTimeout, ReadTimeout: httpTimeout,
		WriteTimeout: httpTimeout, IdleTimeout: time.Minute, MaxHeaderBytes: 8 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)}}
	s.wg.Add(1)
	go func() { // ends when the server is closed
		defer s.wg.Done()
		if err := a.srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			s.log.Warn("the HTTP listener ended", "err", err)
		}
	}()
	return a
}

// close ends the server; requests under way are answered, unless abruptly.
func (a *httpServer) close(abruptly bool) {
	ctx, cancel := context.WithTimeout(context.Background(), httpDrain)
	defer cancel()
	// Shutdown leaves connections open that are still busy when its time is up.
	if abruptly || a.srv.Shutdown(ctx) != nil {
		_ = a.srv.Close() // its connections are being given up
	}
}
