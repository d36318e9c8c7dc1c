//! The server: listener, connections, TLS, the end.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer};
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::sync::watch;

use super::config::HttpConfig;
use super::manners;
use super::routes;
use super::state::Service;
use super::tls;

/// Connections that the kernel holds until they are taken.
const BACKLOG: i32 = 1_024;
/// How long the rest of a body that nobody wants is read before the connection is closed.
const LINGER: Duration = Duration::from_secs(2);
/// How long a client may take nothing of what was sent to it.
const READ_NOTHING_MAX: Duration = Duration::from_secs(300);

/// Why the service did not start.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// Plain HTTP on an address that others can reach.
    #[error(
        "{0} is not loopback: set a TLS certificate and key, or allow plain HTTP explicitly where \
         something in front of it does TLS"
    )]
    PlainPublic(SocketAddr),
    /// The certificate or the key cannot be used.
    #[error("{0}")]
    Tls(String),
    /// The routes cannot be described: a mistake in this program.
    #[error("{0}")]
    Routes(String),
}

/// A server that serves. Clones are the same one.
#[derive(Clone, Debug)]
pub struct HttpServerHandle {
    address: SocketAddr,
    server: ServerHandle,
    closing: watch::Sender<bool>,
}

impl HttpServerHandle {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no further connections, lets requests end within the time that the configuration
    /// gives, and returns when all is closed.
    pub async fn stop(&self) {
        self.closing.send_replace(true);
        self.server.stop(true).await;
    }
}

/// Serves the API. Must be called inside an actix system, whose arbiter runs the server.
///
/// Errors: [`ServeError`], before anything is served.
pub fn serve(config: HttpConfig, service: Service) -> Result<HttpServerHandle, ServeError> {
    if config.tls.is_none() && !config.allow_plain_public && !config.bind.ip().is_loopback() {
        return Err(ServeError::PlainPublic(config.bind));
    }
    let bind = |error| ServeError::Bind {
        address: config.bind,
        error,
    };
    let listener = listen(&config).map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    let workers = config.workers.max(1);
    let service = service.within(config.clone());
    let closing = service.closing().clone();
    let tls = config.tls.as_ref().map(tls::load).transpose();
    let tls = tls.map_err(ServeError::Tls)?;
    let configure = routes::build(service).map_err(|error| ServeError::Routes(error.detail))?;
    let server = HttpServer::new(move || {
        App::new()
            .wrap(from_fn(manners::around))
            .configure(configure.clone())
    })
    .workers(workers)
    .max_connections(config.connections_max.div_ceil(workers))
    .client_request_timeout(config.head_timeout)
    .tls_handshake_timeout(config.head_timeout)
    .client_disconnect_timeout(LINGER)
    .keep_alive(config.keep_alive)
    .tcp_nodelay(true)
    .shutdown_timeout(config.shutdown_timeout.as_secs())
    .disable_signals();
    let server = match tls {
        Some(tls) => server.listen_rustls_0_23(listener, tls),
        None => server.listen(listener),
    }
    .map_err(bind)?
    .run();
    let handle = server.handle();
    actix_rt::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the HTTP server broke down");
        }
    });
    Ok(HttpServerHandle {
        address,
        server: handle,
        closing,
    })
}

fn listen(config: &HttpConfig) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(config.bind),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    // Accepted connections inherit it.
    socket.set_send_buffer_size(config.send_buffer)?;
    socket.set_tcp_user_timeout(Some(READ_NOTHING_MAX))?;
    socket.bind(&config.bind.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
