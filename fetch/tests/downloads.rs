//! Downloads from a server on 127.0.0.1 that plays the mirrors.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::process::Child;
use std::thread;
use std::time::Duration;

use support::server::{Answer, Server, dead};
use support::tls::TlsFront;
use support::{Workplace, letters, letters_of};

/// Arguments for an archive of one's own at `server`, with the digest that sha256sum gives.
fn own(workplace: &Workplace, server: &Server, bytes: &[u8]) -> Vec<String> {
    let digest = support::sha256sum(&workplace.file("expected.tar.gz", bytes));
    let url = format!("{}/files/letters.tar.gz?version=2", server.url);
    ["--archive", &url, "--sha256", &digest, "--output", "out/raw"].map(str::to_owned).to_vec()
}

fn run_well(workplace: &Workplace, arguments: &[String]) -> String {
    workplace.run_well(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn run_badly(workplace: &Workplace, arguments: &[String]) -> String {
    workplace.run_badly(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), 1)
}

fn with(arguments: &[String], more: &[&str]) -> Vec<String> {
    arguments.iter().cloned().chain(more.iter().map(|&text| text.to_owned())).collect()
}

/// The tree that the archive unpacked by path gives; beside it the URL that it came from.
fn assert_whole(workplace: &Workplace, bytes: &[u8]) {
    workplace.file("reference/letters.tar.gz", bytes);
    workplace.run_well(&["--archive", "reference/letters.tar.gz", "--output", "reference/raw", "--force"]);
    let mut tree = workplace.tree("out/raw");
    assert!(tree.remove("origin.json").is_some());
    assert_eq!(tree, workplace.tree("reference/raw"));
    assert_eq!(
        workplace.names("out"),
        workplace.names("out/raw").iter().map(|n| format!("raw/{n}")).collect::<Vec<_>>()
    );
}

fn file(bytes: &[u8]) -> Answer {
    Answer::File { bytes: bytes.to_vec(), etag: "\"one\"" }
}

#[test]
fn a_download_ends_as_the_archive_unpacked_by_path_does() {
    let workplace = Workplace::new();
    let server = Server::start(vec![file(&letters())]);
    run_well(&workplace, &own(&workplace, &server, &letters()));
    assert_whole(&workplace, &letters());
    assert_eq!(server.requests()[0][0], "GET /files/letters.tar.gz?version=2 HTTP/1.1");
}

#[test]
fn a_cut_download_goes_on_where_it_was_cut() {
    let workplace = Workplace::new();
    let cut = |after| Answer::Cut { bytes: letters(), etag: "\"one\"", after };
    let server = Server::start(vec![cut(100_000), cut(50_000), file(&letters())]);
    run_well(&workplace, &own(&workplace, &server, &letters()));
    assert_whole(&workplace, &letters());
    assert_eq!(server.header("range"), ["", "bytes=100000-", "bytes=150000-"]);
    assert_eq!(server.header("if-range"), ["", "\"one\"", "\"one\""]);
}

#[test]
fn a_file_that_changed_in_the_meantime_is_fetched_from_its_start() {
    for [old, new] in [["\"old\"", "\"new\""], ["Thu, 01 Jan 2026 00:00:00 GMT", "Fri, 02 Jan 2026 00:00:00 GMT"]] {
        let workplace = Workplace::new();
        let server = Server::start(vec![
            Answer::Cut { bytes: letters_of(40, 99), etag: old, after: 100_000 },
            Answer::File { bytes: letters(), etag: new },
        ]);
        let url = format!("{}/letters.tar.gz", server.url);
        workplace.run_well(&["--archive", &url, "--output", "out/raw"]);
        assert_whole(&workplace, &letters());
        assert_eq!(server.header("if-range"), ["", old]);
    }
}

#[test]
fn a_part_of_another_file_is_not_taken_though_the_server_sends_it() {
    let workplace = Workplace::new();
    let server = Server::start(vec![
        Answer::Cut { bytes: letters_of(40, 99), etag: "\"old\"", after: 100_000 },
        Answer::AnyRange { bytes: letters(), etag: "\"new\"" },
    ]);
    let url = format!("{}/letters.tar.gz", server.url);
    workplace.run_well(&["--archive", &url, "--output", "out/raw"]);
    assert_whole(&workplace, &letters());
    assert_eq!(server.header("range"), ["", "bytes=100000-", ""]);
}

/// The system's own limit of a file's size stands for the disk.
#[test]
fn a_disk_that_fills_up_amid_the_download_is_said_and_the_rest_fetched_when_there_is_room() {
    let workplace = Workplace::new();
    let server = Server::start(vec![file(&letters())]);
    let arguments = own(&workplace, &server, &letters());
    let fetch = workplace.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    // 64 blocks of 512 or 1024 bytes; without the trap the system kills the process instead of refusing the write.
    let mut limited = std::process::Command::new("sh");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$@\"", "sh"])
        .arg(fetch.get_program())
        .args(fetch.get_args());
    for (name, _) in fetch.get_envs() {
        limited.env_remove(name);
    }
    let output = limited.current_dir(workplace.path("")).output().unwrap();
    let said = support::stderr(&output);
    assert!(output.status.code() == Some(1) && said.contains("File too large") && said.contains("make room"), "{said}");
    assert!(!workplace.path("out/raw").exists());

    let said = run_well(&workplace, &arguments);
    assert_whole(&workplace, &letters());
    assert!(said.contains("going on with `letters.tar.gz` at byte"), "{said}");
}

#[test]
fn a_server_without_ranges_sends_the_whole_file_again() {
    let workplace = Workplace::new();
    let cut = Answer::Cut { bytes: letters(), etag: "\"one\"", after: 100_000 };
    let server = Server::start(vec![cut, Answer::WithoutRanges(letters())]);
    run_well(&workplace, &own(&workplace, &server, &letters()));
    assert_whole(&workplace, &letters());
}

#[test]
fn bytes_of_another_file_before_the_cut_are_found_by_the_digest_and_fetched_again() {
    let workplace = Workplace::new();
    let first = Server::start(vec![Answer::Cut { bytes: letters_of(40, 99), etag: "\"x\"", after: 100_000 }]);
    let second = Server::start(vec![file(&letters())]);
    let arguments = own(&workplace, &second, &letters());
    let said = run_well(&workplace, &with(&arguments, &["--mirror", &first.url, "--retries", "1"]));
    assert!(said.contains("has SHA-256"), "{said}");
    assert_whole(&workplace, &letters());
}

#[test]
fn a_mirror_that_is_dead_wrong_or_a_web_page_is_passed_over() {
    let wrong = letters_of(40, 99);
    let longer = [letters(), vec![0; 100]].concat();
    for (answer, expected) in [
        (None, "refused"),
        (Some(Answer::Status(404)), "answered with HTTP status 404"),
        (Some(Answer::Html { content_type: "text/html; charset=utf-8" }), "it is a web page"),
        (Some(Answer::Html { content_type: "application/gzip" }), "it is a web page"),
        (Some(file(&wrong)), "has SHA-256"),
        (Some(Answer::WithoutRanges(longer)), "has SHA-256"),
        (Some(Answer::Stall { bytes: letters(), etag: "\"one\"", after: 1000 }), "was cut at byte 1000"),
        (Some(Answer::WrongLength { bytes: letters(), claimed: letters().len() + 1 }), "was cut at byte"),
    ] {
        let workplace = Workplace::new();
        let first = answer.map(|answer| Server::start(vec![answer]));
        let first = first.as_ref().map_or_else(dead, |server| server.url.clone());
        let second = Server::start(vec![file(&letters())]);
        let arguments = own(&workplace, &second, &letters());
        let said = run_well(&workplace, &with(&arguments, &["--mirror", &first, "--timeout", "1", "--retries", "1"]));
        assert!(said.contains(&format!("warning: {first}/letters.tar.gz: ")) && said.contains(expected), "{said}");
        assert_whole(&workplace, &letters());
    }
}

#[test]
fn a_known_data_set_s_size_is_compared_before_anything_is_transferred() {
    let workplace = Workplace::new();
    let server = Server::start(vec![file(&letters())]);
    let output = ["--dataset", "notmnist-small", "--output", "out/raw", "--retries", "0", "--timeout", "1"];
    let said = workplace
        .command(&[&output[..], &["--mirror", &server.url]].concat())
        .env("https_proxy", dead())
        .env("http_proxy", dead())
        .env("no_proxy", "127.0.0.1")
        .output()
        .unwrap();
    let said = support::stderr(&said);
    assert!(said.contains(&format!("has {} bytes, 8458043 are expected", letters().len())), "{said}");
    assert!(said.contains("error: no mirror gave `notMNIST_small.tar.gz`") && said.contains("hint: "), "{said}");
    assert_eq!(workplace.names(""), Vec::<String>::new());
}

#[test]
fn an_error_that_may_pass_is_tried_again() {
    let workplace = Workplace::new();
    let server = Server::start(vec![Answer::Status(503), file(&letters())]);
    let said = run_well(&workplace, &own(&workplace, &server, &letters()));
    assert!(said.contains("HTTP status 503") && said.contains("trying again in 1 s"), "{said}");
    assert_whole(&workplace, &letters());
}

#[test]
fn an_error_that_stays_ends_the_run_with_every_mirror_s_reason() {
    let workplace = Workplace::new();
    let (first, second) = (Server::start(vec![Answer::Status(500)]), Server::start(vec![Answer::Status(403)]));
    let arguments = own(&workplace, &second, &letters());
    let said = run_badly(&workplace, &with(&arguments, &["--mirror", &first.url, "--retries", "1"]));
    let reasons = said.split("error: no mirror gave `letters.tar.gz`").nth(1).unwrap();
    assert!(reasons.contains("HTTP status 500") && reasons.contains("HTTP status 403"), "{said}");
    assert!(reasons.contains("hint: ") && reasons.contains("--mirror"), "{said}");
    assert_eq!((first.requests().len(), second.requests().len()), (2, 1));
}

#[test]
fn an_address_with_nothing_at_it_ends_the_run_with_a_hint_to_look_it_up() {
    let workplace = Workplace::new();
    let server = Server::start(vec![Answer::Status(404)]);
    let said = run_badly(&workplace, &own(&workplace, &server, &letters()));
    assert!(said.contains("answered with HTTP status 404\nhint: look the address up"), "{said}");
}

#[test]
fn a_web_page_of_the_only_mirror_ends_the_run_with_what_to_do_about_it() {
    let workplace = Workplace::new();
    let server = Server::start(vec![Answer::Html { content_type: "text/html" }]);
    let said = run_badly(&workplace, &own(&workplace, &server, &letters()));
    assert!(said.contains("it is a web page\nhint: the site may want a login"), "{said}");
}

/// Without a digest, nothing else says that the bytes were not those of the archive.
#[test]
fn a_download_that_is_no_whole_archive_is_asked_for_again() {
    let workplace = Workplace::new();
    let mut flipped = letters();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let server = Server::start(vec![file(&flipped), file(&letters())]);
    let url = format!("{}/letters.tar.gz", server.url);
    let arguments = ["--archive", &url, "--output", "out/raw"].map(str::to_owned);
    assert!(run_badly(&workplace, &arguments).contains("is damaged after"));
    run_well(&workplace, &arguments);
    assert_whole(&workplace, &letters());
}

#[test]
fn a_slow_server_is_waited_for_and_a_redirect_followed() {
    let workplace = Workplace::new();
    let slow = Server::start(vec![Answer::Slow(letters())]);
    let server = Server::start(vec![Answer::Redirect(format!("{}/elsewhere", slow.url))]);
    run_well(&workplace, &own(&workplace, &server, &letters()));
    assert_whole(&workplace, &letters());
    assert_eq!(slow.requests()[0][0], "GET /elsewhere HTTP/1.1");
}

#[test]
fn the_proxy_of_the_environment_is_used_and_no_proxy_heeded() {
    let workplace = Workplace::new();
    let server = Server::start(vec![file(&letters())]);
    let proxy = Server::start(vec![Answer::Proxy(Box::new(file(&letters())))]);
    let arguments = own(&workplace, &server, &letters());
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let output = workplace.command(&arguments).env("http_proxy", &proxy.url).output().unwrap();
    assert!(output.status.success(), "{}", support::stderr(&output));
    assert!(proxy.requests()[0][0].starts_with("CONNECT 127.0.0.1:"), "{:?}", proxy.requests());
    assert_eq!((proxy.requests().len(), server.requests().len()), (2, 0));

    let again = [&arguments[..], &["--force"]].concat();
    let output = workplace.command(&again).env("http_proxy", &proxy.url).env("NO_PROXY", "127.0.0.1").output().unwrap();
    assert!(output.status.success(), "{}", support::stderr(&output));
    assert_eq!((proxy.requests().len(), server.requests().len()), (2, 1));
}

#[test]
fn a_url_that_is_done_is_not_asked_again() {
    let workplace = Workplace::new();
    let server = Server::start(vec![file(&letters())]);
    let arguments = own(&workplace, &server, &letters());
    run_well(&workplace, &arguments);
    assert!(run_well(&workplace, &arguments).contains("is already in `out/raw`"));
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn another_url_with_the_same_file_name_is_fetched_anew() {
    let workplace = Workplace::new();
    let server = Server::start(vec![file(&letters_of(1, 1)), file(&letters_of(2, 2)), file(&letters_of(3, 3))]);
    let fetch = |path: &str| {
        let url = format!("{}/{path}/letters.tar.gz", server.url.replace("://", "://me:secret@"));
        workplace.run_well(&["--archive", &url, "--output", "out/raw"])
    };
    for (path, files) in [("one", 2), ("two", 4)] {
        fetch(path);
        assert_eq!(workplace.names("out/raw/train").len(), files);
        assert!(fetch(path).contains("is already in `out/raw`"));
    }
    let origin = fs::read_to_string(workplace.path("out/raw/origin.json")).unwrap();
    let expected = format!(
        "{{\n  \"kind\": \"origin.json\",\n  \"schema_version\": 1,\n  \"urls\": {{\n    \"letters.tar.gz\": \
         \"{}/two/letters.tar.gz\"\n  }}\n}}\n",
        server.url
    );
    assert_eq!(origin, expected);
    assert!(!fs::read_to_string(workplace.path("out/raw/source.json")).unwrap().contains("http"));

    // Where nothing says where it came from, it may have come from anywhere.
    fs::remove_file(workplace.path("out/raw/origin.json")).unwrap();
    fetch("two");
    assert_eq!(workplace.names("out/raw/train").len(), 6);
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn the_same_archive_from_two_urls_gives_the_same_source_json() {
    let workplace = Workplace::new();
    let (one, two) = (Server::start(vec![file(&letters())]), Server::start(vec![file(&letters())]));
    for (server, output) in [(&one, "one"), (&two, "two")] {
        let url = format!("{}/{output}/letters.tar.gz", server.url);
        workplace.run_well(&["--archive", &url, "--output", output]);
    }
    let source = |folder| fs::read(workplace.path(folder).join("source.json")).unwrap();
    assert_eq!(source("one"), source("two"));
}

#[test]
fn a_known_digest_decides_whichever_url_the_archive_came_from() {
    let workplace = Workplace::new();
    let (first, second) = (Server::start(vec![file(&letters())]), Server::start(vec![Answer::Status(404)]));
    run_well(&workplace, &own(&workplace, &first, &letters()));
    let said = run_well(&workplace, &own(&workplace, &second, &letters()));
    assert!(said.contains("is already in `out/raw`"), "{said}");
    assert_eq!(second.requests().len(), 0);
}

#[test]
fn a_kept_archive_is_used_again_while_its_digest_is_right() {
    let workplace = Workplace::new();
    let server = Server::start(vec![file(&letters())]);
    let url = format!("{}/letters.tar.gz", server.url);
    let arguments = ["--archive", &url, "--output", "out/raw", "--keep-archive", "--force"];
    workplace.run_well(&arguments);
    assert_eq!(fs::read(workplace.path("out/archives/letters.tar.gz")).unwrap(), letters());
    assert!(workplace.run_well(&arguments).contains("was kept and has the right digest"));
    assert_eq!(server.requests().len(), 1);

    workplace.file("out/archives/letters.tar.gz", &letters_of(2, 5));
    let said = workplace.run_well(&arguments);
    assert!(said.contains("was kept, but has SHA-256"), "{said}");
    assert_eq!(server.requests().len(), 2);
    assert_eq!(fs::read(workplace.path("out/archives/letters.tar.gz")).unwrap(), letters());

    let elsewhere = Server::start(vec![file(&letters_of(3, 6))]);
    let url = format!("{}/letters.tar.gz", elsewhere.url);
    let said = workplace.run_well(&["--archive", &url, "--output", "out/raw", "--force"]);
    assert!(said.contains("was kept from another place"), "{said}");
    assert_eq!(workplace.names("out/raw/train").len(), 6);
}

#[test]
fn the_folder_for_archives_goes_again_only_if_it_was_made_for_this_run() {
    let workplace = Workplace::new();
    let server = Server::start(vec![file(&letters())]);
    let arguments = with(&own(&workplace, &server, &letters()), &["--force", "--archives", "archives"]);
    run_well(&workplace, &arguments);
    assert!(!workplace.path("archives").exists());
    fs::create_dir(workplace.path("archives")).unwrap();
    run_well(&workplace, &arguments);
    assert!(workplace.path("archives").is_dir());
    assert_eq!(workplace.names("archives"), Vec::<String>::new());
}

#[test]
fn a_mirror_may_be_a_folder() {
    let workplace = Workplace::new();
    let server = Server::start(vec![Answer::Status(404)]);
    let arguments = own(&workplace, &server, &letters());
    workplace.file("stick/letters.tar.gz", &letters());
    let mirror = format!("file:{}", workplace.path("stick").display());
    run_well(&workplace, &with(&arguments, &["--mirror", &mirror]));
    assert_whole(&workplace, &letters());
    assert_eq!(server.requests().len(), 0);
    assert!(workplace.path("stick/letters.tar.gz").exists());
}

/// Before how many bytes a stalled download has stalled.
const STALLED_AFTER: usize = 100_000;

fn stalling(bytes: &[u8]) -> Answer {
    Answer::Stall { bytes: bytes.to_vec(), etag: "\"one\"", after: STALLED_AFTER }
}

/// A run that waits for the rest of its download.
fn stalled(workplace: &Workplace, arguments: &[String]) -> Child {
    let mut child = workplace.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).spawn().unwrap();
    let partial = workplace.path("out/archives/letters.tar.gz.partial");
    while fs::metadata(&partial).map_or(0, |metadata| metadata.len()) < STALLED_AFTER as u64 {
        assert_eq!(child.try_wait().unwrap(), None, "it is still at work");
        thread::sleep(Duration::from_millis(1));
    }
    child
}

#[test]
fn a_run_killed_while_it_downloads_goes_on_when_it_is_run_again() {
    let workplace = Workplace::new();
    let server = Server::start(vec![stalling(&letters()), file(&letters())]);
    let arguments = own(&workplace, &server, &letters());
    let mut child = stalled(&workplace, &arguments);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!workplace.path("out/raw").exists());
    run_well(&workplace, &arguments);
    assert_whole(&workplace, &letters());
    assert_eq!(server.header("range"), ["", "bytes=100000-"]);
}

#[test]
fn a_download_that_was_complete_before_the_kill_is_not_fetched_again() {
    let workplace = Workplace::new();
    let server = Server::start(vec![Answer::Status(404)]);
    let arguments = own(&workplace, &server, &letters());
    workplace.file("out/archives/letters.tar.gz.partial", &letters());
    let origin = format!("{{\"url\": \"http://x/\", \"sha256\": \"{}\"}}", arguments[3]);
    workplace.file("out/archives/letters.tar.gz.partial.origin.json", origin.as_bytes());
    assert!(run_well(&workplace, &arguments).contains("was downloaded before"));
    assert_eq!(server.requests().len(), 0);
    assert_whole(&workplace, &letters());
}

#[test]
fn a_server_that_drips_is_given_up_though_no_read_runs_into_the_time_limit() {
    let every = Duration::from_millis(100);
    for (answer, expected) in [
        (Answer::DripHeaders { every }, "timeout"),
        (Answer::Drip { bytes: letters(), every }, "sent fewer than 1000 bytes a second for 1 s"),
    ] {
        let workplace = Workplace::new();
        let (first, second) = (Server::start(vec![answer]), Server::start(vec![file(&letters())]));
        let arguments = own(&workplace, &second, &letters());
        let more = ["--mirror", &first.url, "--timeout", "1", "--retries", "0"];
        let said = run_well(&workplace, &with(&arguments, &more));
        assert!(
            said.contains(&format!("warning: {}/letters.tar.gz: ", first.url)) && said.contains(expected),
            "{said}"
        );
        assert_whole(&workplace, &letters());
    }
}

#[test]
fn a_body_without_end_is_left_at_the_limit_and_removed() {
    let workplace = Workplace::new();
    let server = Server::start(vec![Answer::Endless]);
    let url = format!("{}/letters.tar.gz", server.url);
    let arguments = ["--archive", &url, "--output", "out/raw", "--retries", "0", "--max-unpacked-bytes", "5000000"];
    let said = workplace.run_badly(&arguments, 1);
    assert!(said.contains("has more than the 5000000 bytes of --max-unpacked-bytes"), "{said}");
    assert_eq!(workplace.names(""), Vec::<String>::new());
}

#[test]
fn an_archive_that_is_said_to_be_larger_than_the_limit_is_not_transferred() {
    let workplace = Workplace::new();
    let server = Server::start(vec![file(&letters())]);
    let url = format!("{}/letters.tar.gz", server.url);
    let arguments = ["--archive", &url, "--output", "out/raw", "--retries", "0", "--max-unpacked-bytes", "1000"];
    let said = workplace.run_badly(&arguments, 1);
    assert!(said.contains("has more than the 1000 bytes of --max-unpacked-bytes"), "{said}");
    assert_eq!(workplace.names(""), Vec::<String>::new());
}

#[test]
fn a_body_that_is_longer_or_shorter_than_it_was_said_to_be_is_not_taken() {
    let bytes = letters();
    for claimed in [bytes.len() - 1, bytes.len() + 1] {
        let workplace = Workplace::new();
        let server = Server::start(vec![Answer::WrongLength { bytes: bytes.clone(), claimed }]);
        let url = format!("{}/letters.tar.gz", server.url);
        workplace.run_badly(&["--archive", &url, "--output", "out/raw", "--retries", "0", "--timeout", "1"], 1);
        assert!(!workplace.path("out/raw").exists());
    }
}

#[test]
fn https_is_trusted_by_the_authorities_that_are_named_and_never_left_for_http() {
    let workplace = Workplace::new();
    let plain = Server::start(vec![file(&letters())]);
    let server = Server::start(vec![file(&letters()), Answer::Redirect(format!("{}/letters.tar.gz", plain.url))]);
    let front = TlsFront::before(&server);
    let url = format!("{}/letters.tar.gz", front.url);
    let arguments = ["--archive", &url, "--output", "raw", "--retries", "0"];
    let said = workplace.run_badly(&arguments, 1);
    assert!(said.to_lowercase().contains("certificate") && said.contains("--ca-certificate"), "{said}");
    assert!(server.requests().is_empty());

    workplace.file("authority.pem", front.authority.as_bytes());
    let trusting = [&arguments[..], &["--ca-certificate", "authority.pem"]].concat();
    let output = workplace.command(&trusting).env("SSL_CERT_FILE", "").output().unwrap();
    assert!(output.status.success(), "{}", support::stderr(&output));
    assert!(!workplace.names("raw").is_empty());

    // The second request is sent on to plain http.
    let said = workplace.run_badly(&[&trusting[..], &["--force"]].concat(), 1);
    assert!(said.contains("https"), "{said}");
    assert_eq!((server.requests().len(), plain.requests().len()), (2, 0));
}

#[test]
fn a_file_without_certificates_is_named() {
    let workplace = Workplace::new();
    for (name, text) in
        [("none.pem", ""), ("broken.pem", "-----BEGIN CERTIFICATE-----\n%\n-----END CERTIFICATE-----\n")]
    {
        let path = workplace.file(name, text.as_bytes());
        let arguments = ["--archive", "https://127.0.0.1:9/a.tar", "--output", "raw", "--retries", "0"];
        let output = workplace.command(&arguments).env("SSL_CERT_FILE", &path).output().unwrap();
        let said = support::stderr(&output);
        assert!(output.status.code() == Some(1) && said.contains(name), "{said}");
    }
}

#[test]
fn redirects_in_a_circle_end() {
    let workplace = Workplace::new();
    let own = dead();
    let circle = Server::start_at(&own, vec![Answer::Redirect(format!("{own}/again"))]);
    let said = workplace.run_badly(&["--archive", &format!("{own}/a.tar"), "--output", "raw", "--retries", "0"], 1);
    assert!(said.contains("redirects"), "{said}");
    assert!((2..=20).contains(&circle.requests().len()), "{}", circle.requests().len());
}

#[test]
fn a_mirror_that_cuts_after_every_byte_is_not_asked_for_ever() {
    let workplace = Workplace::new();
    let cut = |after| Answer::Cut { bytes: letters(), etag: "\"one\"", after };
    let server = Server::start((1..200).map(cut).collect());
    let arguments = own(&workplace, &server, &letters());
    run_badly(&workplace, &with(&arguments, &["--retries", "1"]));
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_storm_of_server_errors_is_weathered_within_the_retries() {
    let workplace = Workplace::new();
    let storm = [500, 502, 503, 504, 429].map(Answer::Status).to_vec();
    let server = Server::start([storm, vec![file(&letters())]].concat());
    let arguments = own(&workplace, &server, &letters());
    let said = run_badly(&workplace, &with(&arguments, &["--retries", "2"]));
    assert!(said.contains("HTTP status 503"), "{said}");
    assert_eq!(server.requests().len(), 3);
    run_well(&workplace, &with(&arguments, &["--retries", "2"]));
    assert_whole(&workplace, &letters());
}

#[test]
fn a_second_run_in_the_same_folders_is_refused_with_the_first_one_s_process_id() {
    let workplace = Workplace::new();
    let server = Server::start(vec![stalling(&letters()), file(&letters())]);
    let arguments = own(&workplace, &server, &letters());
    let mut child = stalled(&workplace, &arguments);
    let elsewhere = with(&arguments[..4], &["--output", "elsewhere/raw", "--archives", "out/archives"]);
    for (arguments, place) in [(&arguments, "out/raw"), (&elsewhere, "out/archives")] {
        let said = run_badly(&workplace, arguments);
        let expected = format!("error: `{place}` is being written to by process {}", child.id());
        assert!(said.contains(&expected) && said.contains("hint: wait until it has ended"), "{said}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    run_well(&workplace, &arguments);
    assert_whole(&workplace, &letters());
}
