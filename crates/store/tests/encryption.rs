//! Encrypted archives: what goes in comes out, from any place, and nothing that was changed ever does.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::io;
use std::sync::{Arc, Mutex};

use dumprestore_archive::{self as archive, Output, RangeRead};
use dumprestore_driver::{Error, ErrorKind};
use dumprestore_store::{DecryptedRead, Encryption, Identities, IdentitySource, is_encrypted, readable};
use proptest::prelude::*;

const CHUNK: usize = 64 << 10;

/// A key pair of age, and the text of its private half.
struct Pair {
    private: String,
    public: String,
}

fn pair() -> Pair {
    use age::secrecy::ExposeSecret;
    let key = age::x25519::Identity::generate();
    Pair { private: key.to_string().expose_secret().to_owned(), public: key.to_public().to_string() }
}

fn identities(private: &str) -> Identities {
    Identities::from([IdentitySource::Variable {
        name: "KEY".into(),
        value: Some(zeroize::Zeroizing::new(private.to_owned())),
    }])
}

/// What was written, and whether it was published.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<(Vec<u8>, Option<bool>)>>);

impl Output for Sink {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap().0.extend_from_slice(bytes);
        Ok(())
    }

    fn publish(self: Box<Self>) -> archive::Result<()> {
        self.0.lock().unwrap().1 = Some(true);
        Ok(())
    }

    fn abort(self: Box<Self>) {
        self.0.lock().unwrap().1 = Some(false);
    }
}

fn encrypt(to: &Encryption, content: &[u8], step: usize) -> Vec<u8> {
    let sink = Sink::default();
    let mut output = to.wrap(Box::new(sink.clone())).unwrap();
    content.chunks(step.max(1)).for_each(|some| output.write_all(some).unwrap());
    output.publish().unwrap();
    let (written, published) = sink.0.lock().unwrap().clone();
    assert_eq!(published, Some(true));
    written
}

fn open(file: Vec<u8>, with: &Identities) -> Result<DecryptedRead, Error> {
    DecryptedRead::open(Arc::new(file), with)
}

fn sample(size: usize) -> Vec<u8> {
    let mut state = size as u32 | 1;
    let next = |state: &mut u32| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (*state >> 24) as u8
    };
    (0..size).map(|_| next(&mut state)).collect()
}

fn read(file: &dyn RangeRead, at: usize, length: usize) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; length];
    file.read_exact_at(&mut buffer, at as u64).map(|()| buffer)
}

#[test]
fn whatever_the_size_around_the_ends_of_chunks_all_comes_back_from_every_place() {
    let pair = pair();
    let to = Encryption::to([&*pair.public]).unwrap();
    for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 2 * CHUNK + 1, 3 * CHUNK] {
        let content = sample(size);
        let opened = open(encrypt(&to, &content, 50_000), &identities(&pair.private)).unwrap();
        assert_eq!(opened.size().unwrap(), size as u64);
        assert_eq!(read(&opened, 0, size).unwrap(), content);
        let edges = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, size.saturating_sub(1), size];
        // Backwards too, so that each place is come to from each side.
        for (from, to) in edges.iter().chain(edges.iter().rev()).flat_map(|from| edges.map(|to| (*from, to)))
        {
            if from <= to && to <= size {
                assert_eq!(
                    read(&opened, from, to - from).unwrap(),
                    content[from..to],
                    "{size}: {from}..{to}"
                );
            }
        }
        for (at, length) in [(size, 1), (0, size + 1), (size + 1, 0), (usize::MAX, 2)] {
            assert_eq!(read(&opened, at, length).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}

#[test]
fn a_file_that_was_cut_off_anywhere_does_not_open() {
    let pair = pair();
    let whole = encrypt(&Encryption::to([&*pair.public]).unwrap(), &sample(3 * CHUNK), CHUNK);
    let header = whole.len() - 3 * (CHUNK + 16);
    let ends = (0..header + 40).chain((0..4).flat_map(|chunk| {
        let end = header + chunk * (CHUNK + 16);
        [end.saturating_sub(1), end, end + 1, end + 15, end + 16, end + 17, end + 1000]
    }));
    for end in ends.filter(|end| *end < whole.len()) {
        let error = open(whole[..end].to_vec(), &identities(&pair.private)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Archive, "cut off at {end}: {error}");
    }
    let longer = [&whole[..], &[0]].concat();
    assert_eq!(open(longer, &identities(&pair.private)).unwrap_err().kind(), ErrorKind::Archive);
}

#[test]
fn chunks_that_were_swapped_or_left_out_are_found() {
    let pair = pair();
    let whole = encrypt(&Encryption::to([&*pair.public]).unwrap(), &sample(4 * CHUNK), CHUNK);
    let header = whole.len() - 4 * (CHUNK + 16);
    let chunk = |at: usize| &whole[header + at * (CHUNK + 16)..header + (at + 1) * (CHUNK + 16)];
    let swapped = [&whole[..header], chunk(1), chunk(0), chunk(2), chunk(3)].concat();
    let opened = open(swapped, &identities(&pair.private)).unwrap();
    for at in [0, CHUNK] {
        let error = read(&opened, at, 10).unwrap_err().downcast::<Error>().unwrap();
        assert_eq!(error.kind(), ErrorKind::Archive);
        assert!(error.to_string().contains(&format!("from byte {at}")), "{error}");
    }
    assert_eq!(read(&opened, 2 * CHUNK, 10).unwrap().len(), 10, "the others are as they were");
    let without = [&whole[..header], chunk(0), chunk(2), chunk(3)].concat();
    assert!(open(without, &identities(&pair.private)).is_err());
}

#[test]
fn an_error_of_the_file_itself_is_told_as_it_is_and_the_next_read_goes_on() {
    struct Failing(Vec<u8>, std::sync::atomic::AtomicBool);
    impl RangeRead for Failing {
        fn size(&self) -> io::Result<u64> {
            self.0.size()
        }
        fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
            match self.1.load(std::sync::atomic::Ordering::SeqCst) {
                true => Err(io::Error::new(io::ErrorKind::Interrupted, "the network is gone")),
                false => self.0.read_exact_at(buffer, at),
            }
        }
    }
    let pair = pair();
    let content = sample(5 * CHUNK);
    let file = encrypt(&Encryption::to([&*pair.public]).unwrap(), &content, CHUNK);
    let failing = Arc::new(Failing(file, false.into()));
    let opened = DecryptedRead::open(failing.clone(), &identities(&pair.private)).unwrap();
    for at in [2 * CHUNK, 3 * CHUNK + 5] {
        failing.1.store(true, std::sync::atomic::Ordering::SeqCst);
        let error = read(&opened, at, CHUNK).unwrap_err();
        assert_eq!(error.to_string(), "the network is gone");
        assert!(error.downcast::<Error>().is_err(), "nothing was wrong with the archive");
        failing.1.store(false, std::sync::atomic::Ordering::SeqCst);
        assert_eq!(read(&opened, at, CHUNK).unwrap(), content[at..at + CHUNK]);
    }
}

#[test]
fn a_passphrase_opens_what_it_encrypted_and_another_does_not() {
    let to = Encryption::with_passphrase("correct horse", Some(10)).unwrap();
    let file = encrypt(&to, b"content", 7);
    let right = Identities::none().and_passphrase("correct horse").unwrap();
    assert_eq!(read(&open(file.clone(), &right).unwrap(), 0, 7).unwrap(), b"content");
    let error = open(file.clone(), &Identities::none().and_passphrase("battery").unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the archive is encrypted with a passphrase, and what was given does not open it"
    );
    let error = open(file, &identities(&pair().private)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.hint().unwrap().starts_with("give the passphrase"), "{error:?}");
    assert!(Encryption::with_passphrase("", None).is_err());
    assert!(
        Encryption::with_passphrase("x", Some(64)).is_err()
            && Encryption::with_passphrase("x", Some(0)).is_err()
    );
}

#[test]
fn any_one_of_the_recipients_can_decrypt_and_nobody_else_and_the_error_says_who_could() {
    let (first, second, other) = (pair(), pair(), pair());
    let file = encrypt(&Encryption::to([&*first.public, &*second.public]).unwrap(), b"content", 7);
    for key in [&first, &second] {
        assert_eq!(read(&open(file.clone(), &identities(&key.private)).unwrap(), 0, 7).unwrap(), b"content");
    }
    let many = identities(&format!("# keys\n{}\n\n{}\n", other.private, second.private));
    open(file.clone(), &many).unwrap();
    let told = [
        (Identities::none(), "no identity was given"),
        (identities(&other.private), "the one identity that was given is none of these"),
        (
            identities(&format!("{}\n{}", other.private, pair().private)),
            "none of the 2 identities that were given is one of these",
        ),
    ];
    for (identities, why) in told {
        let error = open(file.clone(), &identities).unwrap_err();
        assert_eq!(error.to_string(), format!("the archive is encrypted to 2 X25519 recipients: {why}"));
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.hint().unwrap().contains("`--identity FILE`"));
    }
}

#[test]
fn a_plain_archive_needs_no_identity_and_none_is_looked_for() {
    let plain: Arc<dyn RangeRead> = Arc::new(b"PK\x03\x04 and so on".to_vec());
    assert!(!is_encrypted(&*plain).unwrap());
    let missing = Identities::from([IdentitySource::Command(vec!["/nowhere/at-all".into()])]);
    assert_eq!(readable(plain.clone(), &missing).unwrap().size().unwrap(), plain.size().unwrap());
    assert!(!is_encrypted(&Vec::<u8>::new()).unwrap());
    let armored: Arc<dyn RangeRead> = Arc::new(b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n".to_vec());
    assert!(readable(armored, &missing).err().unwrap().hint().unwrap().contains("`age -d`"));
    let encrypted: Arc<dyn RangeRead> =
        Arc::new(encrypt(&Encryption::to([&*pair().public]).unwrap(), b"x", 1));
    assert!(is_encrypted(&*encrypted).unwrap());
    let error = readable(encrypted, &missing).err().unwrap();
    assert!(error.to_string().starts_with("can't start `/nowhere/at-all`"), "{error}");
}

#[test]
fn an_output_that_is_not_published_is_aborted() {
    let to = Encryption::to([&*pair().public]).unwrap();
    let sink = Sink::default();
    let mut output = to.wrap(Box::new(sink.clone())).unwrap();
    output.write_all(&sample(CHUNK * 2)).unwrap();
    output.abort();
    assert_eq!(sink.0.lock().unwrap().1, Some(false));
    let sink = Sink::default();
    drop(to.wrap(Box::new(sink.clone())).unwrap());
    assert_eq!(sink.0.lock().unwrap().1, Some(false));
}

#[test]
fn an_error_of_the_output_comes_through_and_nothing_is_published() {
    struct Full(Sink, usize);
    impl Output for Full {
        fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
            self.1 = self.1.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            self.0.write_all(bytes)
        }
        fn publish(self: Box<Self>) -> archive::Result<()> {
            Box::new(self.0).publish()
        }
        fn abort(self: Box<Self>) {
            Box::new(self.0).abort();
        }
    }
    let to = Encryption::to([&*pair().public]).unwrap();
    // The first fails in the header, the second in a chunk, the third in the last one.
    for room in [10, CHUNK * 2, CHUNK * 4 + 200] {
        let sink = Sink::default();
        let written = to.wrap(Box::new(Full(sink.clone(), room))).and_then(|mut output| {
            let written = sample(4 * CHUNK + 500).chunks(30_000).try_for_each(|some| output.write_all(some));
            written.map_err(|error| Error::io("writing", error))?;
            output.publish().map_err(|error| Error::environment(error.to_string()))
        });
        assert!(written.is_err(), "{room}");
        assert_eq!(sink.0.lock().unwrap().1, Some(false), "{room}");
    }
}

#[test]
fn recipients_that_are_none_are_refused_and_a_private_key_is_not_repeated() {
    let private = pair().private;
    let error = Encryption::to([&*private]).unwrap_err();
    assert!(!format!("{error} {error:?}").contains(&private), "{error:?}");
    assert!(error.to_string().starts_with("a private key stands where a recipient is wanted"));
    for (wrong, told) in [
        ("", "`` is no recipient"),
        ("age1abc", "`age1abc` is no recipient"),
        ("ssh-dss AAAAB3NzaC1kc3M= me", "a recipient `ssh-dss ...` is"),
        ("ssh-ed25519 nonsense", "a recipient `ssh-ed25519 ...` is not written as it should be"),
    ] {
        let error = Encryption::to([wrong]).unwrap_err();
        assert!(error.to_string().starts_with(told), "{error}");
        assert_eq!(error.kind(), ErrorKind::Config);
    }
    assert!(Encryption::to([]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_bytes_are_read_back_from_any_ranges_by_several_threads(
        size in prop_oneof![0..200usize, 0..5 * CHUNK, (1..5usize, 0..3usize).prop_map(|(n, d)| n * CHUNK + d - 1)],
        step in 1..200_000usize,
        ranges in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..40),
    ) {
        let pair = pair();
        let content = sample(size);
        let opened = open(encrypt(&Encryption::to([&*pair.public]).unwrap(), &content, step), &identities(&pair.private)).unwrap();
        prop_assert_eq!(opened.size().unwrap(), size as u64);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (opened, content, ranges) = (&opened, &content, &ranges);
                scope.spawn(move || {
                    for (from, to) in ranges.iter().skip(thread).chain(ranges.iter().take(thread)) {
                        let (from, to) = (from.index(size + 1), to.index(size + 1));
                        let (from, to) = (from.min(to), from.max(to));
                        assert_eq!(read(opened, from, to - from).unwrap(), content[from..to]);
                    }
                });
            }
        });
    }

    #[test]
    fn a_changed_byte_is_an_error_and_never_other_content(
        size in 0..3 * CHUNK, at in any::<prop::sample::Index>(), change in 1..=255u8,
    ) {
        let pair = pair();
        let content = sample(size);
        let mut file = encrypt(&Encryption::to([&*pair.public]).unwrap(), &content, CHUNK);
        let at = at.index(file.len());
        file[at] ^= change;
        let Ok(opened) = open(file, &identities(&pair.private)) else { return Ok(()) };
        let mut wrong = 0;
        for from in (0..size).step_by(20_000) {
            let length = (size - from).min(20_000);
            match read(&opened, from, length) {
                Ok(read) => prop_assert_eq!(&read[..], &content[from..from + length]),
                Err(error) => {
                    wrong += 1;
                    prop_assert_eq!(error.downcast::<Error>().unwrap().kind(), ErrorKind::Archive);
                }
            }
        }
        prop_assert!(wrong > 0, "byte {} was changed, and nobody noticed", at);
    }
}
