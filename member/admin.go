package member

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
	// adminTimeout bounds one request on the HTTP port.
	adminTimeout = 10 * time.Second
	// adminDrain bounds how long a member that leaves waits for requests on the HTTP port.
	adminDrain = time.Second
)

// adminServer answers health checks on the HTTP port, and shows metrics there.
type adminServer struct{ srv *http.Server }

func startAdmin(m *Member, l net.Listener) *adminServer {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !m.isReady() {
			http.Error(w, "starting or stopping", http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ok")
	})
	if m.cfg.MetricsPage != nil {
		mux.Handle("GET /metrics", m.cfg.MetricsPage)
	}
	a := &adminServer{srv: &http.Server{Handler: mux, ReadHeaderTimeout: m.cfg.HelloTimeout, ReadTimeout: adminTimeout,
		WriteTimeout: adminTimeout, IdleTimeout: time.Minute, MaxHeaderBytes: 8 << 10,
		ErrorLog: slog.NewLogLogger(m.log.Handler(), slog.LevelDebug)}}
	m.wg.Add(1)
	go func() { // ends when the server is closed
		defer m.wg.Done()
		if err := a.srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			m.log.Warn("the HTTP listener ended", "err", err)
		}
	}()
	return a
}

// close ends the server; requests under way are answered, unless abruptly.
func (a *adminServer) close(abruptly bool) {
	ctx, cancel := context.WithTimeout(context.Background(), adminDrain)
	defer cancel()
	if abruptly || a.srv.Shutdown(ctx) != nil {
		_ = a.srv.Close() // its connections are being given up
	}
}
