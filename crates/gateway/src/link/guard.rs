//! Which addresses an upstream's name may lead to: the guard against server-side request forgery.
//!
//! The operator writes an upstream's URL, but a name in it is resolved by whoever runs its DNS. Unless the operator
//! says that the upstream is private, a name that leads to a loopback, private, link-local, metadata or otherwise
//! special address is refused, each time it is resolved, and the connection goes to the very address that was looked at.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;
use refmon_core::kinds::url::is_public_address;

/// Where an upstream may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reachable {
    /// At public addresses only.
    Public,
    /// Anywhere: the operator says that the upstream is on this machine or in a private network.
    Anywhere,
}

/// A name leads to an address that an upstream must not be at.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{name}` leads to {address}, which is not a public address; if it is meant, write `private = true` for this server"
)]
pub struct AddressRefused {
    name: String,
    address: IpAddr,
}

impl Reachable {
    /// Looks at the addresses of a name.
    ///
    /// # Errors
    /// [`AddressRefused`] if one of them is not allowed: which one would be used is not known.
    pub fn check(self, name: &str, addresses: &[SocketAddr]) -> Result<(), AddressRefused> {
        let refused = addresses.iter().find(|address| self == Self::Public && !is_public_address(address.ip()));
        match refused {
            Some(address) => Err(AddressRefused { name: name.to_owned(), address: address.ip() }),
            None => Ok(()),
        }
    }
}

/// The resolver of an upstream's connector.
#[derive(Debug, Clone)]
pub(super) struct Resolver(pub(super) Reachable);

type Found = std::vec::IntoIter<SocketAddr>;

impl tower_service::Service<Name> for Resolver {
    type Response = Found;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Found>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let reachable = self.0;
        Box::pin(async move {
            let look_up = move || {
                let found: Vec<SocketAddr> = (name.as_str(), 0).to_socket_addrs()?.collect();
                reachable.check(name.as_str(), &found).map_err(io::Error::other)?;
                Ok(found.into_iter())
            };
            tokio::task::spawn_blocking(look_up).await.map_err(io::Error::other)?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_one_address_inside_is_refused() {
        let address = |text: &str| SocketAddr::new(text.parse().unwrap(), 443);
        let outside = address("93.184.215.14");
        for inside in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "172.16.0.1",
            "169.254.169.254",
            "::1",
            "fd00::1",
            "fe80::1",
            "0.0.0.0",
            "::ffff:10.0.0.1",
            "100.64.0.1",
        ] {
            let refused = Reachable::Public.check("rebound.example", &[outside, address(inside)]);
            assert!(refused.unwrap_err().to_string().contains("private = true"), "{inside}");
            assert!(Reachable::Anywhere.check("inside.example", &[address(inside)]).is_ok());
        }
        assert!(Reachable::Public.check("outside.example", &[outside]).is_ok());
    }
}
