//! Tells the service manager how far the start and the end are (`sd_notify(3)`, protocol of `Type=notify`). Without a
//! service manager that asks, nothing happens.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::home::environment;

/// Sends a state such as `READY=1`.
pub(crate) fn notify(state: &str) {
    let Some(socket) = environment("NOTIFY_SOCKET") else { return };
    let address = match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&socket),
    };
    let sent = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    // A service manager that does not listen ends the service by itself; there is nobody else to tell.
    drop(sent);
}
