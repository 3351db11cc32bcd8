//! `refmon ready`: asks a running `refmon serve` whether calls can be recorded. For health checks.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::args::Arguments;
use crate::config::ConfigError;
use crate::home::Home;
use crate::output::{Answer, Output};

/// How long connecting, asking and answering may take, each.
const PATIENCE: Duration = Duration::from_secs(3);
/// Bytes of the answer that are looked at.
const ANSWER_BYTES_MAX: u64 = 4 * 1024;

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<Answer> {
    let home = Home::open(arguments)?;
    let listen = &home.config.listen;
    let address = match (&listen.tls, listen.metrics) {
        (None, _) => listen.http,
        // Whoever asks over TLS would need a certificate, and to trust one.
        (Some(_), Some(metrics)) => metrics,
        (Some(_), None) => {
            let text = "[listen] tls is on, so this asks the listener of `[listen] metrics`, and there is none; add it";
            return Err(ConfigError::new(format!("{}: {text}", home.file.display())).into());
        }
    };
    let address = reachable(address);
    let answer = ask(address).with_context(|| format!("nobody answers at {address}; is `refmon serve` running?"))?;
    let ready = answer.lines().next().is_some_and(|status| status.split(' ').nth(1) == Some("200"));
    output.result(&json!({ "ready": ready, "address": address.to_string() }), || {
        let word = if ready { "ready" } else { "not ready: calls cannot be recorded, so none is made" };
        format!("refmon serve at {address} is {word}")
    });
    Ok(if ready { Answer::Yes } else { Answer::No })
}

/// The address from which this machine reaches a listener on all addresses.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: localhost:{}\r\nconnection: close\r\n\r\n", address.port());
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
