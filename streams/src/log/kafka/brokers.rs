//! The addresses of a cluster's brokers, for requests on connections of our own.

use std::io;

use parking_lot::Mutex;

/// The brokers that are named, and those that brokers have told of since: so the cluster can be
/// reached when none of the named ones is left. Who answered last is asked first.
#[derive(Debug)]
pub(super) struct Brokers {
    named: Vec<String>,
    /// In the order in which to ask them.
    known: Mutex<Vec<String>>,
}

impl Brokers {
    /// The brokers of a bootstrap list, with Kafka's port where none is named.
    pub(super) fn new(bootstrap: &str) -> Self {
        let named = addresses(bootstrap);
        Self {
            known: Mutex::new(named.clone()),
            named,
        }
    }

    /// The first answer to `ask`, which is given an address.
    ///
    /// # Errors
    /// The last failure, when nobody answers.
    pub(super) fn ask<T>(&self, mut ask: impl FnMut(&str) -> io::Result<T>) -> io::Result<T> {
        let known = self.known.lock().clone();
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "no broker is named");
        for address in known {
            match ask(&address) {
                Ok(answer) => {
                    self.prefer(&address);
                    return Ok(answer);
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn prefer(&self, address: &str) {
        let mut known = self.known.lock();
        let place = known.iter().position(|known| known == address);
        if let Some(place) = place {
            let address = known.remove(place);
            known.insert(0, address);
        }
    }

    /// Replaces what brokers have told before.
    pub(super) fn learn(&self, told: Vec<String>) {
        let mut known = self.known.lock();
        let is_valid = |address: &String| told.contains(address) || self.named.contains(address);
        known.retain(is_valid);
        for address in told {
            if !known.contains(&address) {
                known.push(address);
            }
        }
    }
}

/// A broker's address, as it is connected to.
pub(super) fn address(host: &str, port: i32) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

fn addresses(bootstrap: &str) -> Vec<String> {
    let names = bootstrap
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    names
        .map(|name| {
            let name = name.rsplit_once("://").map_or(name, |(_, name)| name);
            let has_port = name.rsplit_once(':').is_some_and(|(_, port)| {
                !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
            });
            if has_port {
                name.to_owned()
            } else {
                format!("{name}:9092")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The addresses in the order in which they are asked, when only `answers` does.
    fn asked(brokers: &Brokers, answers: &str) -> Vec<String> {
        let mut asked = Vec::new();
        let answer = brokers.ask(|address| {
            asked.push(address.to_owned());
            if address == answers {
                Ok(())
            } else {
                Err(io::Error::other("away"))
            }
        });
        assert_eq!(answer.is_ok(), asked.iter().any(|asked| asked == answers));
        asked
    }

    #[test]
    fn a_bootstrap_list_may_leave_ports_and_protocols_out() {
        assert_eq!(
            addresses("a, PLAINTEXT://b:1,,[::1]:2"),
            ["a:9092", "b:1", "[::1]:2"]
        );
    }

    #[test]
    fn the_numbers_of_a_host_are_told_from_its_port() {
        assert_eq!(address("::1", 9092), "[::1]:9092");
        assert_eq!(address("10.0.0.1", 9092), "10.0.0.1:9092");
    }

    #[test]
    fn a_broker_that_was_told_of_is_asked_when_the_named_one_is_gone() {
        let brokers = Brokers::new("a:1");
        brokers.learn(vec!["b:1".into(), "a:1".into(), "c:1".into()]);
        assert_eq!(asked(&brokers, "c:1"), ["a:1", "b:1", "c:1"]);
        assert_eq!(asked(&brokers, "c:1"), ["c:1"]);
        brokers.learn(vec!["b:1".into()]);
        assert_eq!(asked(&brokers, "nobody"), ["a:1", "b:1"]);
    }
}
