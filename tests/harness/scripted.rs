//! A SIP peer that does what its script says, right or wrong: real UDP and TCP sockets, text in and
//! text out, no state machine of its own. Independent of the program's own SIP code on purpose.
//!
//! Never: repairs, retransmits or answers anything by itself.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// One end of a SIP conversation.
#[derive(Debug)]
pub struct Scripted {
    link: Link,
    local: SocketAddr,
    seen: Vec<String>,
}

#[derive(Debug)]
enum Link {
    Udp(UdpSocket),
    Tcp {
        listener: Option<TcpListener>,
        stream: Option<TcpStream>,
        unread: Vec<u8>,
    },
}

/// A SIP message as it came.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The request or status line.
    pub start: String,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    /// What follows the blank line.
    pub body: String,
    /// Where it came from.
    pub from: SocketAddr,
}

/// A call that the script makes.
#[derive(Clone, Debug)]
pub struct Dialing {
    /// Request-URI and To.
    pub uri: String,
    /// Call-ID.
    pub call_id: String,
    /// Our tag.
    pub tag: String,
    /// The peer's tag, once it is known.
    pub to_tag: Option<String>,
    /// Where the peer's requests in the call go: its Contact.
    pub remote_target: Option<String>,
    /// Of the last request that was not ACK.
    pub cseq: u32,
    /// Where it is sent.
    pub to: SocketAddr,
}

impl Heard {
    fn parse(octets: &[u8], from: SocketAddr) -> Option<Self> {
        let text = String::from_utf8_lossy(octets);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let start = lines.next()?.to_owned();
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        Some(Self {
            start,
            headers,
            body: body.to_owned(),
            from,
        })
    }

    /// The method; blank for an answer.
    #[must_use]
    pub fn method(&self) -> &str {
        if self.status().is_some() {
            return "";
        }
        self.start.split(' ').next().unwrap_or("")
    }

    /// The status code of an answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.start
            .strip_prefix("SIP/2.0 ")?
            .split(' ')
            .next()?
            .parse()
            .ok()
    }

    /// The first header of this name; blank where there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map_or("", |(_, value)| value)
    }

    /// The tag in To or From.
    #[must_use]
    pub fn tag(&self, header: &str) -> Option<&str> {
        let (_, tag) = self.header(header).split_once(";tag=")?;
        tag.split(';').next()
    }

    /// The number in CSeq.
    #[must_use]
    pub fn cseq(&self) -> u32 {
        let number = self.header("CSeq").split(' ').next();
        number
            .and_then(|number| number.parse().ok())
            .unwrap_or_default()
    }

    /// The URI of its Contact.
    #[must_use]
    pub fn contact(&self) -> Option<&str> {
        let (_, rest) = self.header("Contact").split_once('<')?;
        rest.split_once('>').map(|(uri, _)| uri)
    }

    /// Where its session description wants RTP.
    #[must_use]
    pub fn media_address(&self) -> Option<SocketAddr> {
        let value = |key: &str| {
            self.body
                .lines()
                .find_map(|line| line.strip_prefix(key).map(str::to_owned))
        };
        let connection = value("c=IN IP4 ").or_else(|| value("c=IN IP6 "))?;
        let port = value("m=audio ")?.split(' ').next()?.parse().ok()?;
        Some(SocketAddr::new(connection.trim().parse().ok()?, port))
    }

    /// Whether this is what a script waits for: a method, or a status code as text.
    #[must_use]
    pub fn is(&self, what: &str) -> bool {
        match what.parse::<u16>() {
            Ok(code) => self.status() == Some(code),
            Err(_) => self.method() == what,
        }
    }
}

impl Scripted {
    /// A UDP peer at a free port.
    ///
    /// # Panics
    /// Where no socket can be had.
    #[must_use]
    pub fn udp(address: &str) -> Self {
        let ip: IpAddr = address.parse().expect("an address");
        let socket = UdpSocket::bind((ip, 0)).expect("a UDP socket");
        let local = socket.local_addr().expect("its address");
        Self::with(Link::Udp(socket), local)
    }

    /// A TCP peer that waits for a connection at a free port.
    ///
    /// # Panics
    /// Where no socket can be had.
    #[must_use]
    pub fn tcp(address: &str) -> Self {
        let ip: IpAddr = address.parse().expect("an address");
        let listener = TcpListener::bind((ip, 0)).expect("a TCP listener");
        listener.set_nonblocking(true).expect("a non-blocking one");
        let local = listener.local_addr().expect("its address");
        let link = Link::Tcp {
            listener: Some(listener),
            stream: None,
            unread: Vec::new(),
        };
        Self::with(link, local)
    }

    /// A TCP peer that connects.
    ///
    /// # Panics
    /// Where it cannot.
    #[must_use]
    pub fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).expect("a TCP connection");
        let local = stream.local_addr().expect("its address");
        let link = Link::Tcp {
            listener: None,
            stream: Some(stream),
            unread: Vec::new(),
        };
        Self::with(link, local)
    }

    fn with(link: Link, local: SocketAddr) -> Self {
        Self {
            link,
            local,
            seen: Vec::new(),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// A URI that leads here.
    #[must_use]
    pub fn uri(&self, user: &str) -> String {
        format!("sip:{user}@{}", self.local)
    }

    /// The start lines of everything that came, in order.
    #[must_use]
    pub fn seen(&self) -> &[String] {
        &self.seen
    }

    /// How many messages came whose start line begins so.
    #[must_use]
    pub fn count(&self, start: &str) -> usize {
        self.seen
            .iter()
            .filter(|seen| seen.starts_with(start))
            .count()
    }

    /// The next message; none at the deadline, and none where the far end closes the connection.
    ///
    /// # Panics
    /// Where the socket fails otherwise.
    pub fn receive(&mut self, within: Duration) -> Option<Heard> {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let (octets, from) = self.next_octets(left)?;
            if let Some(heard) = Heard::parse(&octets, from) {
                self.seen.push(heard.start.clone());
                return Some(heard);
            }
        }
    }

    fn next_octets(&mut self, left: Duration) -> Option<(Vec<u8>, SocketAddr)> {
        match &mut self.link {
            Link::Udp(socket) => {
                socket.set_read_timeout(Some(left)).expect("a timeout");
                let mut octets = vec![0; 65_535];
                match socket.recv_from(&mut octets) {
                    Ok((length, from)) => {
                        octets.truncate(length);
                        Some((octets, from))
                    }
                    // An ICMP error of something sent before says nothing of what comes.
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                        Some((Vec::new(), self.local))
                    }
                    Err(error) if is_timeout(&error) => None,
                    Err(error) => panic!("a scripted peer's socket: {error}"),
                }
            }
            Link::Tcp {
                listener,
                stream,
                unread,
            } => {
                let deadline = Instant::now() + left;
                if stream.is_none() {
                    let accepted = accept(listener.as_ref()?, deadline)?;
                    *stream = Some(accepted);
                }
                read_message(stream.as_mut()?, unread, deadline)
            }
        }
    }

    /// Waits for a request of this method or an answer with this code; what comes before is skipped.
    ///
    /// # Panics
    /// At the deadline, with everything that came.
    pub fn expect(&mut self, what: &str, within: Duration) -> Heard {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.receive(left) {
                Some(heard) if heard.is(what) => return heard,
                Some(_) => {}
                None => panic!(
                    "no {what} came within {within:?}; what came: {:?}",
                    self.seen
                ),
            }
        }
    }

    /// Sends octets as they are.
    ///
    /// # Panics
    /// Where UDP cannot be sent. A TCP connection that the far end closed is no failure.
    pub fn send(&mut self, octets: &[u8], to: SocketAddr) {
        match &mut self.link {
            Link::Udp(socket) => {
                // The first call may return the ICMP error of an earlier datagram.
                if socket.send_to(octets, to).is_err() {
                    socket.send_to(octets, to).expect("a datagram that leaves");
                }
            }
            Link::Tcp { stream, .. } => {
                if let Some(stream) = stream {
                    stream.write_all(octets).ok();
                }
            }
        }
    }

    /// Closes the TCP connection and stops listening.
    pub fn close(&mut self) {
        if let Link::Tcp {
            listener, stream, ..
        } = &mut self.link
        {
            *stream = None;
            *listener = None;
        }
    }

    /// Answers a request: its Via, From, To (with our tag), Call-ID and CSeq, further header lines,
    /// and a session description where there is one.
    pub fn answer(&mut self, request: &Heard, code: u16, tag: &str, lines: &[String], body: &str) {
        let mut text = format!("SIP/2.0 {code} As The Script Says\r\n");
        for (name, value) in &request.headers {
            if ["Via", "From", "Call-ID", "CSeq", "Record-Route"].contains(&name.as_str()) {
                write!(text, "{name}: {value}\r\n").expect("memory");
            }
        }
        let to = request.header("To");
        if to.contains(";tag=") || code == 100 {
            write!(text, "To: {to}\r\n").expect("memory");
        } else {
            write!(text, "To: {to};tag={tag}\r\n").expect("memory");
        }
        self.finish(&mut text, lines, body);
        self.send(text.as_bytes(), request.from);
    }

    /// 200 with a session description and our Contact.
    pub fn accept(&mut self, request: &Heard, tag: &str, sdp: &str) {
        let contact = self.contact_line();
        self.answer(request, 200, tag, &[contact], sdp);
    }

    /// Begins a call: INVITE without waiting for anything.
    pub fn invite(&mut self, user: &str, to: SocketAddr, sdp: &str) -> Dialing {
        self.invite_with(user, to, &[], sdp)
    }

    /// The same with further header lines.
    pub fn invite_with(
        &mut self,
        user: &str,
        to: SocketAddr,
        lines: &[String],
        body: &str,
    ) -> Dialing {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut call = Dialing {
            uri: format!("sip:{user}@{to}"),
            call_id: format!("scripted-{number}-{}", self.local.port()),
            tag: format!("script{number}"),
            to_tag: None,
            remote_target: None,
            cseq: 0,
            to,
        };
        self.request(&mut call, "INVITE", lines, body);
        call
    }

    /// Sends a request of the call.
    pub fn request(&mut self, call: &mut Dialing, method: &str, lines: &[String], body: &str) {
        call.cseq += 1;
        self.send_request(call, (method, method), call.cseq, lines, body);
    }

    /// Takes tag and Contact of a final answer and sends its ACK: after a 200 a request of the
    /// dialog, after a refusal one of the INVITE's transaction (RFC 3261 §13.2.2.4, §17.1.1.3).
    pub fn acknowledge(&mut self, call: &mut Dialing, answer: &Heard) {
        call.learn(answer);
        if answer.status().is_some_and(|code| code >= 300) {
            call.remote_target = None;
            self.send_request(call, ("ACK", "INVITE"), answer.cseq(), &[], "");
        } else {
            self.send_request(call, ("ACK", "ACK"), answer.cseq(), &[], "");
        }
    }

    fn send_request(
        &mut self,
        call: &Dialing,
        (method, transaction): (&str, &str),
        cseq: u32,
        lines: &[String],
        body: &str,
    ) {
        let target = call.remote_target.as_ref().unwrap_or(&call.uri);
        let transport = match self.link {
            Link::Udp(_) => "UDP",
            Link::Tcp { .. } => "TCP",
        };
        let to_tag = call.to_tag.as_ref();
        let to_tag = to_tag.map_or(String::new(), |tag| format!(";tag={tag}"));
        let mut text = format!(
            "{method} {target} SIP/2.0\r\n\
             Via: SIP/2.0/{transport} {local};branch=z9hG4bKs{id}{cseq}{transaction}\r\n\
             Max-Forwards: 70\r\n\
             From: <{own}>;tag={tag}\r\n\
             To: <{uri}>{to_tag}\r\n\
             Call-ID: {id}\r\n\
             CSeq: {cseq} {method}\r\n",
            local = self.local,
            id = call.call_id,
            own = self.uri("script"),
            tag = call.tag,
            uri = call.uri,
        );
        let mut lines = lines.to_vec();
        lines.push(self.contact_line());
        self.finish(&mut text, &lines, body);
        self.send(text.as_bytes(), call.to);
    }

    /// `Contact: <sip:script@…>` of this peer.
    #[must_use]
    pub fn contact_line(&self) -> String {
        let parameter = match self.link {
            Link::Udp(_) => "",
            Link::Tcp { .. } => ";transport=tcp",
        };
        format!("Contact: <{}{parameter}>", self.uri("script"))
    }

    fn finish(&self, text: &mut String, lines: &[String], body: &str) {
        for line in lines {
            write!(text, "{line}\r\n").expect("memory");
        }
        let own_type = lines.iter().any(|line| line.starts_with("Content-Type:"));
        if !body.is_empty() && !own_type {
            text.push_str("Content-Type: application/sdp\r\n");
        }
        write!(text, "Content-Length: {}\r\n\r\n{body}", body.len()).expect("memory");
    }
}

impl Dialing {
    /// Takes the peer's tag and Contact from its answer.
    pub fn learn(&mut self, answer: &Heard) {
        self.to_tag = answer.tag("To").map(str::to_owned);
        if let Some(contact) = answer.contact() {
            self.remote_target = Some(contact.to_owned());
        }
    }
}

fn accept(listener: &TcpListener, deadline: Instant) -> Option<TcpStream> {
    while Instant::now() < deadline {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).expect("a blocking stream");
                return Some(stream);
            }
            Err(error) if is_timeout(&error) => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => panic!("a scripted peer's listener: {error}"),
        }
    }
    None
}

/// One message off a stream, framed by its Content-Length.
fn read_message(
    stream: &mut TcpStream,
    unread: &mut Vec<u8>,
    deadline: Instant,
) -> Option<(Vec<u8>, SocketAddr)> {
    let from = stream.peer_addr().ok()?;
    loop {
        if let Some(length) = framed(unread) {
            return Some((unread.drain(..length).collect(), from));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        stream.set_read_timeout(Some(left)).expect("a timeout");
        let mut octets = [0; 8_192];
        match stream.read(&mut octets) {
            Ok(0) => return None,
            Ok(length) => unread.extend(&octets[..length]),
            Err(error) if is_timeout(&error) => return None,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("a scripted peer's connection: {error}"),
        }
    }
}

fn framed(unread: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(unread);
    let head = text.find("\r\n\r\n")? + 4;
    let length = text[..head]
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length:"))
        .and_then(|value| value.trim().parse::<usize>().ok())
        .unwrap_or_default();
    (unread.len() >= head + length).then_some(head + length)
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
