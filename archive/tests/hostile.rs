//! Archives that are broken, or made to do harm: each is read whole, or refused with the reason.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;

use archive::{Contents, Error, Input, Limits, Refusal};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tar::{Builder, EntryType, Header};
use terminal::Console;

type Files = BTreeMap<String, Vec<u8>>;

const LIMITS: Limits = Limits { max_files: 1000, max_unpacked_bytes: 10 << 20 };

/// What comes out of an archive of these bytes.
fn read(bytes: &[u8]) -> Result<(Contents, Files), Error> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, bytes).unwrap();
    let mut files = Files::new();
    let progress = Console::silent().progress_bytes(0);
    let contents =
        archive::read(Input::File(file.path().to_owned()), LIMITS, &std::env::temp_dir(), &progress, |file| {
            let mut contents = Vec::new();
            file.read(u64::MAX, &mut contents)?;
            files.insert(file.path().to_owned(), contents);
            Ok::<_, Error>(())
        })?;
    Ok((contents, files))
}

fn refusal(bytes: &[u8]) -> Refusal {
    match read(bytes) {
        Err(Error::Entry { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

/// With its cause.
fn damage(bytes: &[u8]) -> String {
    match read(bytes) {
        Err(Error::Damaged { source, .. }) => source.to_string(),
        other => panic!("{other:?}"),
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An entry under its raw name, which may be anything.
fn add(builder: &mut Builder<Vec<u8>>, name: &[u8], kind: EntryType, bytes: &[u8]) {
    let mut header = Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    builder.append(&header, bytes).unwrap();
}

fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    entries.iter().for_each(|(name, bytes)| add(&mut builder, name.as_bytes(), EntryType::Regular, bytes));
    builder.into_inner().unwrap()
}

/// A record of a PAX header (POSIX.1-2024, pax, "Extended Header"): its length counts itself.
fn pax_record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (1..).map(|digits| rest + digits).find(|length| length.to_string().len() == length - rest).unwrap();
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

/// Twenty files of bytes that do not compress, in two classes.
fn letters() -> Vec<u8> {
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let names: Vec<_> = (0..20).map(|index| format!("set/{}/{index}.png", ["A", "B"][index % 2])).collect();
    let contents: Vec<Vec<u8>> = names.iter().map(|_| (0..3000).map(|_| noise()).collect()).collect();
    tar(&names.iter().zip(&contents).map(|(name, bytes)| (name.as_str(), &bytes[..])).collect::<Vec<_>>())
}

#[test]
fn an_archive_that_is_cut_anywhere_is_not_taken_for_whole() {
    let plain = letters();
    let packed = gzip(&plain);
    let (whole, _) = read(&packed).unwrap();
    assert_eq!(whole.files, 20);
    for cut in (0..packed.len()).step_by(1000).chain(packed.len() - 20..packed.len()) {
        assert!(read(&packed[..cut]).is_err(), "gzip of {cut} bytes");
    }
    // The last block of zeros is padding; the first of them is the mark of the end.
    let end = plain.len() - 1024;
    for cut in (0..end).step_by(1000).chain((0..=end).step_by(512)) {
        assert!(read(&plain[..cut]).is_err(), "tar of {cut} bytes");
    }
}

#[test]
fn gzip_members_one_behind_the_other_are_one_archive() {
    let plain = letters();
    let members: Vec<u8> = plain.chunks(7777).flat_map(gzip).collect();
    assert_eq!(read(&members).unwrap().1, read(&plain).unwrap().1);
}

#[test]
fn behind_the_end_only_padding_may_stand_and_not_too_much() {
    let plain = letters();
    let files = read(&plain).unwrap().1;
    for second in [&b"garbage"[..], &plain] {
        assert_eq!(damage(&gzip(&[&plain[..], second].concat())), "something follows the end of the archive");
    }
    assert_eq!(read(&[&plain[..], &[0; 10_000]].concat()).unwrap().1, files);
    assert!(damage(&gzip(&[&plain[..], &vec![0; 2 << 20]].concat())).contains("follow the end of the archive"));
    let packed = gzip(&plain);
    for padding in [1, 5000, 1 << 20] {
        assert_eq!(read(&[&packed[..], &vec![0; padding]].concat()).unwrap().1, files, "{padding} zeros behind gzip");
    }
    for garbage in [&b"garbage behind gzip"[..], b"\0\0and behind zeros"] {
        assert_eq!(damage(&[&packed[..], garbage].concat()), "something that is no gzip follows");
    }
    assert!(read(&[&packed[..], &[0x1f]].concat()).is_err(), "half of a member's start");
}

#[test]
fn a_bomb_is_refused_before_it_goes_off() {
    let zeros = vec![0; 16 << 20];
    for name in ["set/A/1.png", "set/A/.hidden", "set/A/folder/"] {
        let kind = if name.ends_with('/') { EntryType::Directory } else { EntryType::Regular };
        let mut builder = Builder::new(Vec::new());
        add(&mut builder, name.as_bytes(), kind, &zeros);
        let packed = gzip(&builder.into_inner().unwrap());
        assert!(packed.len() < 100_000);
        assert_eq!(refusal(&packed), Refusal::TooManyBytes(LIMITS.max_unpacked_bytes), "{name}");
    }
    // Headers are held in memory: long names, extensions of one file, and those of all.
    for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader, EntryType::XGlobalHeader] {
        let mut builder = Builder::new(Vec::new());
        add(&mut builder, b"set/A/0.png", EntryType::Regular, b"0");
        add(&mut builder, b"extension", kind, &zeros);
        add(&mut builder, b"set/A/1.png", EntryType::Regular, b"1");
        let cause = damage(&gzip(&builder.into_inner().unwrap()));
        assert_eq!(cause, "the headers before an entry, or its end, are too long", "{kind:?}");
    }
    let many: Vec<_> = (0..=LIMITS.max_files).map(|index| (format!("set/A/{index}"), b"")).collect();
    let many: Vec<_> = many.iter().map(|(name, bytes)| (name.as_str(), &bytes[..])).collect();
    assert_eq!(refusal(&gzip(&tar(&many))), Refusal::TooManyFiles(LIMITS.max_files));
}

#[test]
fn a_sparse_file_counts_with_the_zeros_that_it_stands_for() {
    let sparse = |real: u64| {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::GNUSparse);
        header.as_mut_bytes()[..11].copy_from_slice(b"set/A/1.png");
        let gnu = header.as_gnu_mut().unwrap();
        gnu.set_real_size(real);
        gnu.sparse[0].set_offset(0);
        gnu.sparse[0].set_length(3);
        gnu.sparse[1].set_offset(real);
        gnu.sparse[1].set_length(0);
        header.set_size(3);
        header.set_mode(0o644);
        header.set_cksum();
        let mut builder = Builder::new(Vec::new());
        builder.append(&header, &b"abc"[..]).unwrap();
        add(&mut builder, b"set/B/2.png", EntryType::Regular, b"two");
        builder.into_inner().unwrap()
    };
    let (_, files) = read(&sparse(1000)).unwrap();
    assert_eq!(files["set/A/1.png"], [b"abc".to_vec(), vec![0; 997]].concat());
    assert_eq!(files["set/B/2.png"], b"two");
    assert_eq!(refusal(&sparse(1 << 40)), Refusal::TooManyBytes(LIMITS.max_unpacked_bytes));
}

#[test]
fn sparse_files_of_the_pax_form_are_refused_and_other_extensions_passed_over() {
    for (key, expected) in [
        ("GNU.sparse.major", Some(Refusal::Kind("sparse file of the PAX form"))),
        ("GNU.sparse.map", Some(Refusal::Kind("sparse file of the PAX form"))),
        ("SCHILY.xattr.user.note", None),
    ] {
        let mut builder = Builder::new(Vec::new());
        builder.append_pax_extensions([(key, &b"1"[..])]).unwrap();
        add(&mut builder, b"set/A/1.png", EntryType::Regular, b"one");
        add(&mut builder, b"set/B/2.png", EntryType::Regular, b"two");
        let bytes = builder.into_inner().unwrap();
        match expected {
            Some(expected) => assert_eq!(refusal(&bytes), expected, "{key}"),
            None => assert_eq!(read(&bytes).unwrap().1["set/A/1.png"], b"one", "{key}"),
        }
    }
}

#[test]
fn a_class_without_files_is_none_as_its_folder_unpacks_to_nothing() {
    let mut builder = Builder::new(Vec::new());
    for folder in [&b"set/"[..], b"set/A/", b"set/EMPTY/"] {
        add(&mut builder, folder, EntryType::Directory, b"");
    }
    add(&mut builder, b"set/A/1.png", EntryType::Regular, b"one");
    add(&mut builder, b"set/B/2.png", EntryType::Regular, b"two");
    let (contents, files) = read(&builder.into_inner().unwrap()).unwrap();
    assert_eq!((contents.class_root.as_str(), contents.files), ("set", 2));
    assert_eq!(files.into_keys().collect::<Vec<_>>(), ["set/A/1.png", "set/B/2.png"]);
}

#[test]
fn long_names_are_those_of_files_or_refused() {
    let fits = format!("set/{}/1.png", "x".repeat(200));
    let too_long = format!("set/{}.png", "x".repeat(10_000));
    let outside = format!("set/{}/../../../1.png", "x".repeat(200));
    for (name, expected) in [
        (&fits, Ok(())),
        (&too_long, Err(Refusal::LongName { part: 255, whole: 1024 })),
        (&outside, Err(Refusal::Outside)),
    ] {
        let gnu = [name.as_bytes(), b"\0"].concat();
        let pax = pax_record("path", name.as_bytes());
        for (kind, extension) in [(EntryType::GNULongName, gnu), (EntryType::XHeader, pax)] {
            let mut builder = Builder::new(Vec::new());
            add(&mut builder, b"extension", kind, &extension);
            add(&mut builder, b"set/short/1.png", EntryType::Regular, b"one");
            let archive = builder.into_inner().unwrap();
            match &expected {
                Ok(()) => assert_eq!(read(&archive).unwrap().1, Files::from([(name.clone(), b"one".to_vec())])),
                Err(reason) => assert_eq!(refusal(&archive), *reason, "{kind:?}"),
            }
        }
    }
}

#[test]
fn a_size_in_an_extension_counts_as_one_in_the_header_does() {
    let mut builder = Builder::new(Vec::new());
    add(&mut builder, b"extension", EntryType::XHeader, &pax_record("size", (1_u64 << 40).to_string().as_bytes()));
    add(&mut builder, b"set/A/1.png", EntryType::Regular, b"one");
    assert_eq!(refusal(&builder.into_inner().unwrap()), Refusal::TooManyBytes(LIMITS.max_unpacked_bytes));
}

#[test]
fn a_link_is_refused_before_the_file_that_would_go_through_it() {
    for kind in [EntryType::Symlink, EntryType::Link] {
        let mut builder = Builder::new(Vec::new());
        let mut header = Header::new_ustar();
        header.set_path("set/A").unwrap();
        header.set_entry_type(kind);
        header.set_link_name("/etc").unwrap();
        header.set_size(0);
        header.set_cksum();
        builder.append(&header, &b""[..]).unwrap();
        add(&mut builder, b"set/A/passwd", EntryType::Regular, b"root::0:0");
        assert!(matches!(refusal(&builder.into_inner().unwrap()), Refusal::Kind(_) | Refusal::Link(_)), "{kind:?}");
    }
}

#[test]
fn the_same_name_by_another_road_comes_twice_and_another_case_is_another_name() {
    let twice: [(&str, &[u8]); 3] = [("set/A/1.png", b"1"), ("set/B/2.png", b"2"), ("set//A/././1.png", b"3")];
    assert_eq!(refusal(&tar(&twice)), Refusal::Twice);
    let by_case: [(&str, &[u8]); 3] = [("set/A/a.png", b"1"), ("set/A/A.png", b"2"), ("set/a/a.png", b"3")];
    assert_eq!(read(&tar(&by_case)).unwrap().1.len(), 3);
}

#[test]
fn archives_without_class_folders_say_so() {
    assert!(matches!(read(&tar(&[])), Err(Error::NoClassFolders { files: 0, .. })));
    assert!(matches!(
        read(&gzip(&tar(&[("1.png", b"1"), ("2.png", b"2")]))),
        Err(Error::NoClassFolders { files: 2, .. })
    ));
    let mut builder = Builder::new(Vec::new());
    add(&mut builder, b"set/A/", EntryType::Directory, b"");
    add(&mut builder, b"set/B/", EntryType::Directory, b"");
    assert!(matches!(read(&builder.into_inner().unwrap()), Err(Error::NoClassFolders { files: 0, .. })));
}

proptest! {
    /// Of an archive with bytes changed at random: an error, or files below the folder, within the limits.
    #[test]
    fn a_changed_archive_gives_an_error_or_files_below_the_folder(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        mend in any::<bool>(),
    ) {
        let mut bytes = letters();
        for (at, value) in changes {
            // In the first headers, where most is decided.
            let at = at.index(512) + 3584 * (usize::from(value) % 3);
            bytes[at] = value;
            if mend {
                let start = at / 512 * 512;
                bytes[start + 148..start + 156].fill(b' ');
                let sum: u32 = bytes[start..start + 512].iter().map(|&byte| u32::from(byte)).sum();
                bytes[start + 148..start + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
        if let Ok((contents, files)) = read(&bytes) {
            prop_assert!(contents.files as usize == files.len());
            let whole: usize = files.values().map(Vec::len).sum();
            prop_assert!(whole as u64 <= LIMITS.max_unpacked_bytes);
            for name in files.keys() {
                prop_assert!(!name.starts_with('/') && name.split('/').all(|part| !["", ".", ".."].contains(&part)), "{name}");
            }
        }
    }
}
