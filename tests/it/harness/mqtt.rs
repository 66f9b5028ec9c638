//! MQTT byte by byte: a client that sends exactly what a test wants and shows exactly what comes back.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    Engine,
    until::{soon, until},
};

/// A connection.
#[derive(Debug)]
pub(crate) struct Mqtt {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// A packet: its first byte, and what follows its length.
pub(crate) type Packet = (u8, Vec<u8>);

/// What a CONNECT says.
#[derive(Clone, Debug)]
pub(crate) struct Connect {
    /// 4 is MQTT 3.1.1, and 5 is 5.
    pub(crate) level: u8,
    /// The client id.
    pub(crate) client_id: String,
    /// The password.
    pub(crate) password: Option<String>,
    /// Seconds.
    pub(crate) keep_alive: u16,
    /// Properties of version 5, without their length.
    pub(crate) properties: Vec<u8>,
    /// Topic and payload of the will.
    pub(crate) will: Option<(String, Vec<u8>)>,
}

impl Connect {
    /// What a device says.
    pub(crate) fn new(level: u8, device: &str, key: &str) -> Connect {
        Connect {
            level,
            client_id: device.to_owned(),
            password: Some(key.to_owned()),
            keep_alive: 60,
            properties: Vec::new(),
            will: None,
        }
    }

    /// With a will.
    pub(crate) fn will(mut self, topic: &str, payload: &str) -> Connect {
        self.will = Some((topic.to_owned(), payload.as_bytes().to_vec()));
        self
    }

    /// The packet.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut flags = 0b0000_0010;
        if self.password.is_some() {
            flags |= 0b1100_0000;
        }
        if self.will.is_some() {
            flags |= 0b0000_0100;
        }
        let mut body = [&string("MQTT")[..], &[self.level, flags]].concat();
        body.extend(self.keep_alive.to_be_bytes());
        if self.level == 5 {
            body.extend(length(self.properties.len()));
            body.extend(&self.properties);
        }
        body.extend(string(&self.client_id));
        if let Some((topic, payload)) = &self.will {
            if self.level == 5 {
                body.push(0);
            }
            body.extend(string(topic));
            body.extend(with_length(payload));
        }
        if let Some(password) = &self.password {
            body.extend(string("anybody"));
            body.extend(string(password));
        }
        packet(0x10, &body)
    }
}

impl Mqtt {
    /// A connection on which nothing has been said yet.
    pub(crate) async fn open(port: u16) -> Mqtt {
        let stream = TcpStream::connect(("127.0.0.1", port)).await;
        Mqtt {
            stream: stream.expect("somebody listens"),
            unread: Vec::new(),
        }
    }

    /// A connection on which this was said; with the code of the answer.
    pub(crate) async fn try_connect(port: u16, connect: &Connect) -> (Mqtt, u8) {
        let mut client = Mqtt::open(port).await;
        client.send(&connect.bytes()).await;
        let (first, body) = client.packet().await.expect("a CONNECT is answered");
        assert_eq!(first, 0x20, "CONNACK");
        assert_eq!(body[0], 0, "no session is kept");
        (client, body[1])
    }

    /// A device that is let in.
    pub(crate) async fn connect(engine: &Engine, level: u8, device: &str) -> Mqtt {
        let connect = Connect::new(level, device, engine.key());
        Mqtt::connect_as(engine, &connect).await
    }

    /// A device that says this, and is let in.
    pub(crate) async fn connect_as(engine: &Engine, connect: &Connect) -> Mqtt {
        let (client, code) = Mqtt::try_connect(port(engine).await, connect).await;
        assert_eq!(code, 0, "the device is let in");
        client
    }

    /// Sends bytes. Whether they arrive shows in what comes back.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        // The server may have closed before all is sent.
        self.stream.write_all(bytes).await.ok();
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn finish(&mut self) {
        self.stream.shutdown().await.ok();
    }

    /// The next packet; `None` if the connection is closed.
    pub(crate) async fn packet(&mut self) -> Option<Packet> {
        soon("a packet comes", self.read_packet()).await
    }

    /// The next packet, which has to be of this kind; answers what follows its length.
    pub(crate) async fn expect(&mut self, first: u8) -> Vec<u8> {
        match self.packet().await {
            Some((found, body)) => {
                assert_eq!(found, first, "{body:x?}");
                body
            }
            None => panic!("the connection was closed before {first:x}"),
        }
    }

    /// Waits until the connection is closed; answers what was said before.
    pub(crate) async fn closed(&mut self) -> Vec<Packet> {
        let mut said = Vec::new();
        while let Some(packet) = self.packet().await {
            said.push(packet);
        }
        said
    }

    /// Waits for DISCONNECT and the end; answers the reason and its sentence.
    pub(crate) async fn disconnected(&mut self) -> (u8, String) {
        let said = self.closed().await;
        let Some((0xe0, body)) = said.last() else {
            panic!("closed without DISCONNECT: {said:x?}");
        };
        (body[0], reason(&body[1..]))
    }

    /// Breaks the connection off, as a lost network does.
    pub(crate) fn break_off(self) {
        // Without a linger, what is unread makes the kernel reset the connection.
        drop(self);
    }

    async fn read_packet(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = take(&mut self.unread) {
                return Some(packet);
            }
            match self.stream.read_buf(&mut self.unread).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}

/// The port of MQTT without TLS.
pub(crate) async fn port(engine: &Engine) -> u16 {
    port_of(engine, "mqtt").await
}

/// The port of a scheme, as the engine's log says it.
pub(crate) async fn port_of(engine: &Engine, scheme: &str) -> u16 {
    let begins = format!("MQTT is taken on {scheme}://127.0.0.1:");
    until("the engine says where it takes MQTT", async || {
        let log = engine.log();
        let (_, after) = log.rsplit_once(&begins)?;
        let digits = after
            .split(|letter: char| !letter.is_ascii_digit())
            .next()?;
        digits.parse().ok()
    })
    .await
}

/// A packet with its head.
pub(crate) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    [&[first][..], &length(body.len()), body].concat()
}

/// PUBLISH with a packet id, unless the id is 0. Properties are those of version 5; `None` in 3.1.1.
pub(crate) fn publish(
    topic: &str,
    qos: u8,
    id: u16,
    properties: Option<&[u8]>,
    payload: &[u8],
) -> Vec<u8> {
    let mut body = string(topic);
    if qos > 0 {
        body.extend(id.to_be_bytes());
    }
    if let Some(properties) = properties {
        body.extend(length(properties.len()));
        body.extend(properties);
    }
    body.extend(payload);
    packet(0x30 | (qos << 1), &body)
}

/// SUBSCRIBE with packet id 1.
pub(crate) fn subscribe(level: u8, filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = vec![0, 1];
    if level == 5 {
        body.push(0);
    }
    for (filter, options) in filters {
        body.extend(string(filter));
        body.push(*options);
    }
    packet(0x82, &body)
}

/// A user property.
pub(crate) fn user_property(name: &str, value: &str) -> Vec<u8> {
    [&[0x26][..], &string(name), &string(value)].concat()
}

/// The sentence among properties that begin with their length; empty if there is none.
pub(crate) fn reason(properties: &[u8]) -> String {
    let digits = properties.iter().take_while(|byte| **byte >= 128).count() + 1;
    match properties.get(digits..) {
        Some([0x1f, high, low, rest @ ..]) => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            String::from_utf8_lossy(&rest[..length]).into_owned()
        }
        _ => String::new(),
    }
}

/// Text with its length.
pub(crate) fn string(text: &str) -> Vec<u8> {
    with_length(text.as_bytes())
}

fn with_length(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("short enough");
    [&length.to_be_bytes()[..], bytes].concat()
}

/// A number as MQTT writes lengths.
fn length(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let digit = u8::try_from(number % 128).expect("below 128");
        number /= 128;
        if number == 0 {
            bytes.push(digit);
            return bytes;
        }
        bytes.push(digit | 128);
    }
}

fn take(unread: &mut Vec<u8>) -> Option<Packet> {
    let first = *unread.first()?;
    let (mut length, mut digits) = (0, 0);
    loop {
        let byte = *unread.get(1 + digits)?;
        length |= usize::from(byte & 127) << (7 * digits);
        digits += 1;
        if byte < 128 {
            break;
        }
    }
    let head = 1 + digits;
    if unread.len() < head + length {
        return None;
    }
    let body = unread[head..head + length].to_vec();
    unread.drain(..head + length);
    Some((first, body))
}
