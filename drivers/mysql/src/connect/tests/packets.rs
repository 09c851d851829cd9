//! Whatever a server sends is read as it was meant, or is an error.

use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

use super::super::greeting::Greeting;
use super::super::login::Login;
use super::super::public_key;
use super::super::row::RawRow;
use super::super::said::{Complaint, read_done};
use super::super::wire::{LONGEST_PAYLOAD, Wire};

fn on_a_runtime<T>(what: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(what)
}

/// A length before its bytes, in the fewest bytes.
fn counted(value: &[u8]) -> Vec<u8> {
    let length = value.len() as u64;
    let mut counted = match length {
        0..=250 => vec![length as u8],
        251..=0xffff => [&[0xfc][..], &length.to_le_bytes()[..2]].concat(),
        0x1_0000..=0xff_ffff => [&[0xfd][..], &length.to_le_bytes()[..3]].concat(),
        _ => [&[0xfe][..], &length.to_le_bytes()].concat(),
    };
    counted.extend_from_slice(value);
    counted
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_row_gives_back_its_values(
        values in proptest::collection::vec(proptest::option::of(proptest::collection::vec(any::<u8>(), 0..600)), 1..12),
    ) {
        let message: Vec<u8> =
            values.iter().flat_map(|value| value.as_ref().map_or(vec![0xfb], |value| counted(value))).collect();
        let mut found = Vec::new();
        let row = RawRow::read(&message, values.len(), &mut found).unwrap();
        prop_assert_eq!(row.len(), values.len());
        prop_assert_eq!(row.values().collect::<Vec<_>>(), values.iter().map(Option::as_deref).collect::<Vec<_>>());
        // With a column more or less it is no row.
        for columns in [values.len() - 1, values.len() + 1] {
            prop_assert!(RawRow::read(&message, columns, &mut Vec::new()).is_err());
        }
        prop_assert!(RawRow::read(&message[..message.len() - 1], values.len(), &mut Vec::new()).is_err());
    }

    #[test]
    fn nothing_that_a_server_sends_is_a_panic(message in proptest::collection::vec(any::<u8>(), 0..200), first in any::<u8>()) {
        let with = |first: u8| [&[first][..], &message].concat();
        let _ = Greeting::read(&with(10));
        let _ = Greeting::read(&with(first));
        let _ = Complaint::read(&with(0xff));
        let _ = read_done(&message);
        let _ = RawRow::read(&message, usize::from(first), &mut Vec::new());
        let _ = public_key::seal(b"password\0", b"12345678901234567890", &message);
    }

    #[test]
    fn no_key_of_a_server_is_a_panic(der in proptest::collection::vec(any::<u8>(), 0..300), kind in "PUBLIC KEY|RSA PUBLIC KEY|CERTIFICATE") {
        let text: String = der.iter().map(|byte| char::from(b"ABCDEFGHabcdefgh01234567+/IJKLMN"[usize::from(byte % 32)])).collect();
        let pem = format!("-----BEGIN {kind}-----\n{text}\n-----END {kind}-----\n");
        prop_assert!(public_key::seal(b"password\0", b"12345678901234567890", pem.as_bytes()).is_err());
    }

    /// However the network cuts them, and whatever their lengths are.
    #[test]
    fn messages_arrive_as_they_were_sent(
        messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..5000), 1..8), piece in 1..4000_usize,
    ) {
        on_a_runtime(async {
            let (ours, mut theirs) = tokio::io::duplex(piece);
            let sent = messages.clone();
            let sending = async move {
                for (number, message) in sent.iter().enumerate() {
                    let header = (message.len() as u32 | (number as u32) << 24).to_le_bytes();
                    theirs.write_all(&header).await.unwrap();
                    theirs.write_all(message).await.unwrap();
                }
                theirs
            };
            let mut wire = Wire::new(Box::new(ours));
            let reading = async {
                let mut read = Vec::new();
                for _ in 0..messages.len() {
                    wire.read().await.unwrap();
                    read.push(wire.message().to_vec());
                }
                read
            };
            let (read, theirs) = tokio::join!(reading, sending);
            assert_eq!(read, messages);
            drop(theirs);
            assert_eq!(wire.read().await.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
        });
    }
}

#[tokio::test]
async fn a_message_of_any_length_is_written_as_it_is_read() {
    for length in [0, 1, LONGEST_PAYLOAD - 2, LONGEST_PAYLOAD - 1, LONGEST_PAYLOAD, 2 * LONGEST_PAYLOAD - 1] {
        let (one, other) = tokio::io::duplex(1 << 20);
        let (mut one, mut other) = (Wire::new(Box::new(one)), Wire::new(Box::new(other)));
        let body: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let (written, read) = tokio::join!(one.write(&[3], &body), other.read());
        written.unwrap();
        read.unwrap();
        assert_eq!(other.message().first(), Some(&3));
        assert!(other.message().get(1..) == Some(&*body), "{length}");
    }
}

#[tokio::test]
async fn packets_out_of_order_are_refused() {
    let (ours, mut theirs) = tokio::io::duplex(100);
    theirs.write_all(&[1, 0, 0, 5, 7]).await.unwrap();
    let error = Wire::new(Box::new(ours)).read().await.unwrap_err();
    assert_eq!(error.to_string(), "a server's packets are out of order");
}

/// A server that wants the password itself does not get it from who can't know whose server it is.
#[tokio::test]
async fn a_password_is_not_shown_to_who_has_not_proved_to_be_the_server() {
    let (ours, theirs) = tokio::io::duplex(10_000);
    let (mut wire, mut theirs) = (Wire::new(Box::new(ours)), Wire::new(Box::new(theirs)));
    let password = super::super::Password::new("very-secret");
    let greeting = Greeting {
        version: "8.0.36".to_owned(),
        capabilities: u32::MAX,
        plugin: b"mysql_clear_password".to_vec(),
        nonce: vec![1; 20],
    };
    // Encrypted, but by anybody.
    let login = Login {
        user: "u",
        password: Some(&password),
        database: None,
        purpose: "test",
        private: true,
        proven: false,
    };
    let server = async {
        theirs.read().await.unwrap();
        let first = theirs.message().to_vec();
        theirs.write(b"\xfemysql_clear_password\0", &[]).await.unwrap();
        first
    };
    let (denied, first) = tokio::join!(login.run(&mut wire, &greeting, u32::MAX), server);
    assert!(format!("{:?}", denied.unwrap_err()).starts_with("Exposed"));
    drop(wire);
    assert!(theirs.read().await.is_err());
    assert!(!first.windows(11).any(|bytes| bytes == b"very-secret"));
}
