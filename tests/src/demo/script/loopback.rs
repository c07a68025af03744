//! The network of the sandbox: a loopback that is up, and a name server that knows nobody and remembers who was asked for.

use anyhow::{Context, bail};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Brings up the loopback of this network namespace: `RTM_NEWLINK` for interface 1 with `IFF_UP` (rtnetlink(7)), as
/// `ip link set lo up` does.
///
/// # Errors
/// The kernel refuses; the error holds its number.
pub(super) fn bring_up() -> anyhow::Result<()> {
    const LENGTH: u32 = 32;
    const RTM_NEWLINK: u16 = 16;
    const REQUEST_AND_ACK: u16 = 1 | 4;
    const IFF_UP: u32 = 1;
    let mut message = Vec::new();
    // struct nlmsghdr: length, type, flags, sequence, port; struct ifinfomsg: family, padding, type, index, flags, change.
    message.extend(LENGTH.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(REQUEST_AND_ACK.to_ne_bytes());
    message.extend([0; 8]);
    message.extend([0; 4]);
    for field in [1, IFF_UP, IFF_UP] {
        message.extend(u32::to_ne_bytes(field));
    }
    // Protocol 0 of this family is NETLINK_ROUTE.
    let socket = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    rustix::net::sendto(&socket, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut answer = [0; 1024];
    let (length, _) = rustix::net::recv(&socket, &mut answer, RecvFlags::empty())?;
    // struct nlmsgerr behind the header: 0, or the negative errno.
    let error = answer[..length]
        .get(16..20)
        .context("the kernel's answer is too short")?;
    match i32::from_ne_bytes(error.try_into()?) {
        0 => Ok(()),
        error => bail!("the loopback cannot be brought up: error {}", -error),
    }
}

/// A name server at port 53 of the loopback that answers NXDOMAIN to everything.
pub(super) struct NameServer {
    asked: Arc<Mutex<BTreeSet<String>>>,
    task: JoinHandle<()>,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NameServer {
    /// Starts it.
    pub(super) async fn start() -> anyhow::Result<Self> {
        let socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 53))).await?;
        let asked = Arc::new(Mutex::new(BTreeSet::new()));
        let names = asked.clone();
        let task = tokio::spawn(async move {
            let mut packet = [0; 1500];
            while let Ok((length, client)) = socket.recv_from(&mut packet).await {
                let Some((name, end)) = question(&packet[..length]) else {
                    continue;
                };
                names.lock().expect("nobody panics with the names").insert(name);
                let mut answer = packet[..end].to_vec();
                // RFC 1035 4.1.1: a response, recursion available, NXDOMAIN; one question and no records.
                answer[2] = 0x81;
                answer[3] = 0x83;
                answer[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
                // A client that has gone away needs no answer.
                let _ = socket.send_to(&answer, client).await;
            }
        });
        Ok(Self { asked, task })
    }

    /// The host names that were asked for, without those that have no dot and reverse lookups.
    pub(super) fn asked(&self) -> BTreeSet<String> {
        let asked = self.asked.lock().expect("nobody panics with the names");
        let is_host = |name: &&String| name.contains('.') && !name.ends_with(".arpa");
        asked.iter().filter(is_host).cloned().collect()
    }
}

/// The name of the first question of a DNS message, and where the question ends (RFC 1035 4.1.2).
fn question(packet: &[u8]) -> Option<(String, usize)> {
    let mut at = 12;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*packet.get(at)?);
        at += 1;
        match length {
            0 => break,
            64.. => return None,
            _ => {
                labels.push(String::from_utf8_lossy(packet.get(at..at + length)?).to_lowercase());
                at += length;
            }
        }
    }
    let end = at + 4;
    (end <= packet.len()).then(|| (labels.join("."), end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_question_is_read_and_a_broken_one_is_not() {
        let mut packet = vec![0; 12];
        packet.extend(b"\x06GitHub\x03com\x00\x00\x01\x00\x01");
        packet.extend([9; 11]);
        assert_eq!(question(&packet), Some(("github.com".to_owned(), 28)));
        for end in 12..28 {
            assert_eq!(question(&packet[..end]), None, "{end}");
        }
        packet[12] = 0xc0;
        assert_eq!(question(&packet), None, "a pointer has no place in a question");
    }
}
