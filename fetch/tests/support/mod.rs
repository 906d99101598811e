//! What the tests share: a place to work in, archives, and an HTTP server that plays the mirrors.
#![allow(dead_code, clippy::allow_attributes, reason = "each test binary uses a part of it")]

pub mod server;
pub mod tls;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use flate2::{Compression, write::GzEncoder};
use tempfile::TempDir;

/// A folder to work in, with the real binary.
pub struct Workplace(TempDir);

impl Workplace {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The binary in this folder, without the proxies and the certificates of whoever runs the tests.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fetch"));
        for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        command.args(arguments).current_dir(self.0.path());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What it said on stderr; it must have ended well.
    pub fn run_well(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        stderr(&output)
    }

    /// What it said on stderr; it must have ended with that code.
    pub fn run_badly(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        stderr(&output)
    }

    /// Every file below `folder` with its bytes, by relative path, but what the clock said.
    pub fn tree(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let mut tree = BTreeMap::new();
        collect(&self.path(folder), "", &mut tree);
        tree
    }

    pub fn names(&self, folder: &str) -> Vec<String> {
        self.tree(folder).into_keys().collect()
    }
}

fn collect(folder: &Path, prefix: &str, tree: &mut BTreeMap<String, Vec<u8>>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.map(|entry| entry.unwrap()) {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{name}/"), tree);
        } else if !name.ends_with("timings-stages.json") {
            tree.insert(name, fs::read(entry.path()).unwrap());
        }
    }
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A tar archive of these files, written with raw names so that hostile ones are possible.
pub fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in entries {
        append(&mut builder, name.as_bytes(), bytes, tar::EntryType::Regular, None);
    }
    builder.into_inner().unwrap()
}

pub fn append(
    builder: &mut tar::Builder<Vec<u8>>,
    name: &[u8],
    bytes: &[u8],
    kind: tar::EntryType,
    target: Option<&str>,
) {
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_entry_type(kind);
    if let Some(target) = target {
        header.set_link_name_literal(target).unwrap();
    }
    header.set_cksum();
    builder.append(&header, bytes).unwrap();
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A small data set: two classes in a leading folder. It does not compress, so that it can be cut in many places.
pub fn letters() -> Vec<u8> {
    letters_of(40, 7)
}

/// `images` files of 3,000 bytes a class, from a generator started at `seed`.
pub fn letters_of(images: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let names: Vec<_> =
        ["A", "B"].iter().flat_map(|class| (0..images).map(move |i| format!("letters/{class}/{i}.png"))).collect();
    let contents: Vec<Vec<u8>> = names.iter().map(|_| (0..3000).map(|_| noise()).collect()).collect();
    let entries: Vec<_> = names.iter().zip(&contents).map(|(name, bytes)| (name.as_str(), &bytes[..])).collect();
    gzip(&tar(&entries))
}

/// The digest as the system's `sha256sum` computes it.
pub fn sha256sum(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().to_owned()
}
