//! https before a server that speaks http.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::server::Server;

/// Takes requests by TLS, and hands them on to a server with one connection each.
pub struct TlsFront {
    pub url: String,
    /// The certificate that signed its own, as a PEM file has it.
    pub authority: String,
}

impl TlsFront {
    pub fn before(server: &Server) -> Self {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let behind = server.url.strip_prefix("http://").unwrap().to_owned();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (config, behind) = (Arc::clone(&config), behind.clone());
                // A client that does not trust the certificate hangs up; that is no failure of the server.
                thread::spawn(move || drop(hand_on(stream.unwrap(), config, &behind)));
            }
        });
        Self { url, authority: cert.pem() }
    }
}

fn hand_on(stream: TcpStream, config: Arc<ServerConfig>, behind: &str) -> io::Result<()> {
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut client = BufReader::new(StreamOwned::new(connection, stream));
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        if client.read_line(&mut request)? == 0 {
            return Ok(());
        }
    }
    let mut server = TcpStream::connect(behind)?;
    server.write_all(request.as_bytes())?;
    let mut client = client.into_inner();
    io::copy(&mut server, &mut client)?;
    client.conn.send_close_notify();
    client.flush()
}
