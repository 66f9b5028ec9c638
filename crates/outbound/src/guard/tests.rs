//! What the guard lets through and what it refuses, spelling by spelling.

use super::*;

fn strict() -> Guard {
    Guard::new(Vec::new())
}

fn opened(nets: &[&str]) -> Guard {
    Guard::new(nets.iter().map(|net| net.parse().unwrap()).collect())
}

fn class(guard: &Guard, addr: &str) -> Option<AddressClass> {
    match guard.check_addr(addr.parse().unwrap()) {
        Ok(()) => None,
        Err(Refusal::Address { class, .. }) => Some(class),
        Err(other) => panic!("{addr} is refused as {other}"),
    }
}

#[test]
fn every_special_address_is_refused_as_what_it_is() {
    use AddressClass::*;
    let table = [
        (Unspecified, &["0.0.0.0", "0.1.2.3", "::"][..]),
        (Loopback, &["127.0.0.1", "127.255.255.255", "::1"]),
        (Private, &["10.0.0.1", "172.16.0.1", "172.31.255.255"]),
        (Private, &["192.168.0.1", "fc00::1", "fdff::1", "fec0::1"]),
        (LinkLocal, &["169.254.0.1", "fe80::1", "febf::1"]),
        (CarrierNat, &["100.64.0.1", "100.127.255.255"]),
        (Metadata, &["169.254.169.254", "fd00:ec2::254"]),
        (Metadata, &["100.100.100.200", "168.63.129.16"]),
        (Multicast, &["224.0.0.1", "239.255.255.255", "ff02::1"]),
        (Documentation, &["192.0.2.1", "198.51.100.1"]),
        (Documentation, &["203.0.113.1", "2001:db8::1", "3fff::1"]),
        (Benchmarking, &["198.18.0.1", "198.19.255.255", "2001:2::1"]),
        (Reserved, &["240.0.0.1", "255.255.255.255", "192.0.0.1"]),
        (Reserved, &["2001:20::1", "5f00::1", "100::1", "4000::1"]),
        (Translation, &["192.88.99.1", "64:ff9b::808:808"]),
        (Translation, &["64:ff9b:1::1", "2002:808:808::1", "2001::1"]),
    ];
    for (expected, addrs) in table {
        for addr in addrs {
            assert_eq!(class(&strict(), addr), Some(expected), "{addr}");
        }
    }
}

#[test]
fn an_ipv4_address_inside_an_ipv6_address_is_refused_as_itself() {
    use AddressClass::*;
    let table = [
        ("::ffff:127.0.0.1", Loopback),
        ("::ffff:169.254.169.254", Metadata),
        ("::ffff:10.0.0.1", Private),
        ("::10.0.0.1", Private),
        ("::7f00:1", Loopback),
        ("64:ff9b::169.254.169.254", Metadata),
        ("64:ff9b::10.0.0.1", Private),
        ("2002:7f00:1::1", Loopback),
        ("2002:a9fe:a9fe::", Metadata),
    ];
    for (addr, expected) in table {
        assert_eq!(class(&strict(), addr), Some(expected), "{addr}");
    }
}

#[test]
fn public_addresses_pass_up_to_the_edges_of_the_special_ranges() {
    let addrs = [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "2001:200::1",
        "2606:4700:4700::1111",
        "3ffe:ffff::1",
    ];
    for addr in addrs {
        assert_eq!(class(&strict(), addr), None, "{addr}");
    }
}

#[test]
fn no_spelling_of_an_inner_address_gets_through() {
    let hosts = [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "127.0.0.1.",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0x7F.1",
        "017700000001",
        "0177.0.0.1",
        "0177.0x0.0.01",
        "%31%32%37.0.0.1",
        "127%2e0%2e0%2e1",
        "①②⑦.⓪.⓪.①",
        "127。0。0。1",
        "0",
        "0x0",
        "0.0.0.0",
        "10.1",
        "2852039166",
        "0xa9fea9fe",
        "169.254.43518",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:a9fe:a9fe]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[fd00:0ec2::0254]",
        "[fe80::1]",
        "someone:secret@127.0.0.1",
        "example.com@127.0.0.1",
        "127.0.0.1:80",
        "127.0.0.1\t",
        "127.0.\n0.1",
    ];
    for host in hosts {
        for scheme in ["http://", "https://", "HTTP:\\\\", "http:"] {
            let url = format!("{scheme}{host}/hook");
            let refusal = strict().check_url(&url).unwrap_err();
            assert!(
                matches!(refusal, Refusal::Address { .. }),
                "{url}: {refusal}"
            );
        }
    }
}

#[test]
fn numbers_that_are_no_address_are_malformed() {
    for host in [
        "256.0.0.1",
        "1.2.3.4.5",
        "4294967296",
        "[::1",
        "[fe80::1%25eth0]",
        "0x.0x.0",
    ] {
        let url = format!("http://{host}/");
        if let Ok(url) = strict().check_url(&url) {
            panic!("{url} got through");
        }
    }
}

#[test]
fn names_for_this_machine_are_refused_in_every_spelling() {
    let names = [
        "localhost",
        "LOCALHOST",
        "a.localhost",
        "ｌｏｃａｌｈｏｓｔ",
        "%6cocalhost",
    ];
    for host in names {
        let refusal = strict().check_url(&format!("http://{host}/")).unwrap_err();
        assert!(
            matches!(refusal, Refusal::LocalName { .. }),
            "{host}: {refusal}"
        );
    }
}

#[test]
fn a_name_that_ends_in_a_dot_is_refused() {
    for host in [
        "example.com.",
        "localhost.",
        "localhost。",
        "example.com%2e",
    ] {
        let refusal = strict().check_url(&format!("https://{host}/")).unwrap_err();
        assert!(
            matches!(refusal, Refusal::TrailingDot { .. }),
            "{host}: {refusal}"
        );
    }
}

#[test]
fn only_http_and_https_pass() {
    for url in [
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "ws://a.example/",
    ] {
        let refusal = strict().check_url(url).unwrap_err();
        assert!(
            matches!(refusal, Refusal::Scheme { .. }),
            "{url}: {refusal}"
        );
    }
}

#[test]
fn an_ordinary_url_passes_as_it_is() {
    for url in [
        "https://example.com/hook?a=b%20c",
        "http://example.com:8080/",
        "https://xn--bcher-kva.example/",
        "https://my_host.example.com/",
        "https://user:pass@example.com/",
        "https://[2606:4700:4700::1111]/",
    ] {
        assert_eq!(
            strict().check_url(url).map(String::from),
            Ok(url.to_owned())
        );
    }
}

#[test]
fn a_host_that_could_not_be_sent_is_malformed() {
    for url in [
        "http://{{host}}/",
        "http://a'b.example/",
        "http://a$b/",
        "http://",
        "",
        "example.com",
    ] {
        let refusal = strict().check_url(url).unwrap_err();
        assert!(
            matches!(refusal, Refusal::Malformed { .. }),
            "{url}: {refusal}"
        );
    }
}

#[test]
fn the_allow_list_opens_what_it_names_and_nothing_beside_it() {
    let guard = opened(&["127.0.0.0/8", "10.1.0.0/16", "fd12::/16"]);
    assert!(guard.check_url("http://127.0.0.1:9000/").is_ok());
    assert!(guard.check_url("http://0x7f.1/").is_ok());
    assert!(guard.check_url("http://localhost/").is_ok());
    assert!(guard.check_url("http://[::ffff:10.1.2.3]/").is_ok());
    assert!(guard.check_url("http://[fd12::9]/").is_ok());
    assert!(guard.check_url("http://10.2.0.1/").is_err());
    assert!(guard.check_url("http://[::1]/").is_err());
    assert!(guard.check_url("http://192.168.0.1/").is_err());
}

#[test]
fn a_metadata_service_is_opened_by_its_own_address_alone() {
    let metadata = "169.254.169.254";
    assert!(class(&opened(&["0.0.0.0/0"]), metadata).is_some());
    assert!(class(&opened(&["169.254.0.0/16"]), metadata).is_some());
    assert!(class(&opened(&["fd00::/8"]), "fd00:ec2::254").is_some());
    assert!(class(&opened(&["169.254.169.254/32"]), metadata).is_none());
}

#[test]
fn opening_nat64_does_not_open_the_inner_network_behind_it() {
    let guard = opened(&["64:ff9b::/96"]);
    assert!(guard.check_url("http://[64:ff9b::8.8.8.8]/").is_ok());
    assert!(guard.check_url("http://[64:ff9b::10.0.0.1]/").is_err());
    assert!(
        guard
            .check_url("http://[64:ff9b::169.254.169.254]/")
            .is_err()
    );
}
