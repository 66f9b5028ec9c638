//! Against the server that `./test.sh` starts, and against something that behaves as a pooler does.

use std::{
    io::{self, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use super::*;
use crate::{control::Control, log::postgres::PostgresLog};

fn seen(processes: &[[u32; 2]]) -> Vec<[String; 2]> {
    let named = |pair: &[u32; 2]| pair.map(|process| process.to_string());
    processes.iter().map(named).collect()
}

#[test]
fn one_process_behind_two_connections_or_two_behind_one_give_a_pooler_away() {
    assert!(!are_lent(&seen(&[[1, 2], [1, 2], [1, 2]])));
    assert!(are_lent(&seen(&[[1, 1]])));
    assert!(are_lent(&seen(&[[1, 2], [3, 3]])));
    assert!(are_lent(&seen(&[[1, 2], [1, 2], [2, 1]])));
    assert!(are_lent(&seen(&[[1, 2], [1, 3]])));
}

#[tokio::test]
async fn a_server_is_not_taken_for_a_pooler() {
    let url = std::env::var("TRUNKLINE_TEST_POSTGRES").expect(
        "TRUNKLINE_TEST_POSTGRES is not set: run ./test.sh, which starts the servers that tests need",
    );
    let options = PostgresOptions::new(url);
    let looked = PostgresLog::refuse_lent_connections(&options).await;
    looked.unwrap();
}

#[tokio::test]
async fn the_control_plane_is_looked_at_as_it_is_reached() {
    // Only the driver that it uses knows such a key.
    let url = format!("{}&statement-cache-capacity=7", pooler(1));
    let opened = Control::open_postgres(&PostgresOptions::new(url)).await;
    let refused = opened.map(drop).unwrap_err();
    assert!(matches!(refused, StoreError::Unsuitable(_)), "{refused}");
}

#[tokio::test]
async fn a_pooler_that_lends_connections_is_refused_with_what_to_do() {
    // Each transaction goes to the process that comes next of so many.
    for processes in [1, 3] {
        let options = PostgresOptions::new(pooler(processes));
        let looked = PostgresLog::refuse_lent_connections(&options).await;
        let opened = Control::open_postgres(&options).await.map(drop);
        for refused in [looked, opened] {
            let refused = refused.unwrap_err();
            assert!(matches!(refused, StoreError::Unsuitable(_)), "{refused}");
            let said = refused.to_string();
            assert!(said.contains("pool_mode = session"), "{said}");
        }
    }
}

/// Starts something that talks like a server and lends its processes in turn. Ends with the test's process.
fn pooler(processes: u32) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let turn = Arc::new(AtomicU32::new(0));
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let turn = Arc::clone(&turn);
            let next = move || turn.fetch_add(1, Ordering::Relaxed) % processes;
            // It ends when the client leaves.
            std::thread::spawn(move || serve(stream, next).ok());
        }
    });
    format!("postgres://nobody@{address}/none?sslmode=disable")
}

fn serve(mut stream: TcpStream, next: impl Fn() -> u32) -> io::Result<()> {
    let length = read_length(&mut stream)?;
    skip(&mut stream, length)?;
    // Nobody has to prove anything, and the first question may come.
    stream.write_all(&[message(b'R', &[0; 4]), message(b'Z', b"I")].concat())?;
    loop {
        let mut kind = [0];
        stream.read_exact(&mut kind)?;
        let length = read_length(&mut stream)?;
        skip(&mut stream, length)?;
        if &kind != b"Q" {
            return Ok(());
        }
        let process = next().to_string();
        let column = [
            &[0, 1][..],
            b"pid\0",
            &[0; 6],
            &[0, 0, 0, 25, 255, 255],
            &[255; 4],
            &[0, 0],
        ];
        let row = [&[0, 1][..], &length_of(&process), process.as_bytes()];
        let answer = [
            message(b'T', &column.concat()),
            message(b'D', &row.concat()),
            message(b'C', b"SELECT 1\0"),
            message(b'Z', b"I"),
        ];
        stream.write_all(&answer.concat())?;
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

fn length_of(text: &str) -> [u8; 4] {
    u32::try_from(text.len()).unwrap().to_be_bytes()
}

/// How many bytes of a message follow.
fn read_length(stream: &mut TcpStream) -> io::Result<usize> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes) as usize - 4)
}

fn skip(stream: &mut TcpStream, bytes: usize) -> io::Result<()> {
    stream.read_exact(&mut vec![0; bytes])
}
