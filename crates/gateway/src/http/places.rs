//! How many connections come from where: one place must not have all that there are, before anybody is known.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Connections by the place that they come from.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<HashMap<IpAddr, usize>>);

/// A connection that is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    places: Arc<Places>,
    place: IpAddr,
    /// Whether there are so many from there already that none may take its time.
    pub(super) crowded: bool,
}

impl Places {
    /// Counts one more connection; `None` if the place has as many as one may have.
    pub(super) fn enter(self: &Arc<Self>, from: IpAddr, max: usize) -> Option<Counted> {
        let place = place(from);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(place).or_default();
        if *count >= max {
            return None;
        }
        *count = count.saturating_add(1);
        Some(Counted { places: Arc::clone(self), place, crowded: *count > max / 2 })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.place) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.place);
            }
        }
    }
}

/// Addresses that one machine has as many of as it likes are one place: loopback, and an IPv6 network of 64 bits.
fn place(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        local if local.is_loopback() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_has_its_share_of_connections_and_no_more() {
        let places = Arc::new(Places::default());
        let enter = |text: &str| places.enter(text.parse().unwrap(), 2);
        let (first, second) = (enter("127.0.0.1").unwrap(), enter("127.7.7.7").unwrap());
        assert!(!first.crowded && second.crowded);
        assert!(enter("::1").is_none() && enter("::ffff:127.0.0.1").is_none());
        let _network = (enter("2001:db8::1").unwrap(), enter("2001:db8::ffff:1").unwrap());
        assert!(enter("2001:db8::2").is_none());
        assert!(enter("2001:db8:0:1::2").is_some() && enter("192.0.2.1").is_some());
        drop(first);
        assert!(enter("::1").is_some());
        drop(second);
        assert_eq!(places.0.lock().unwrap().len(), 1);
    }
}
