#!/usr/bin/env python3
"""Writes native_portal.json from the text of docs/wire.md ("Native portal"): python3 vectors/make/native_portal.py > vectors/native_portal.json

Numbers beyond 2^53 are strings; data of 131,072 bytes is written as <131072 x 78>.
"""

import json


def u(n):
    out = b""
    while True:
        low, n = n & 127, n >> 7
        out += bytes([low | (128 if n else 0)])
        if not n:
            return out


def msg(*frames):
    return (b"\x01" + b"".join(frames)).hex()


def op(stream, limit, name, data=b""):
    name = name if isinstance(name, bytes) else name.encode()
    return b"\0" + u(stream) + u(limit) + u(len(name)) + name + u(len(data)) + data


def acc(stream, limit):
    return b"\1" + u(stream) + u(limit)


def dat(stream, offset, data):
    return b"\2" + u(stream) + u(offset) + u(len(data)) + data


def cre(stream, acknowledged, limit):
    return b"\3" + u(stream) + u(acknowledged) + u(limit)


def fin(stream, offset):
    return b"\4" + u(stream) + u(offset)


def rst(stream, reason):
    return b"\5" + u(stream) + bytes([reason])


def ch(limit):
    return b"\6" + u(limit)


def st(count):
    return b"\7" + u(count)


def pi(number):
    return b"\x08" + u(number)


def po(number):
    return b"\x09" + u(number)


M = 2**64 - 1
F = dict

messages=[
 ("the document's Open", "01"+"00"+"02"+"808010"+"02"+"6462"+"02"+"6869", [F(frame="Open",stream=2,limit=262144,resource="db",data="6869")]),
 ("the document's Accept", "0101"+"02"+"808010", [F(frame="Accept",stream=2,limit=262144)]),
 ("the document's Data", "0102"+"02"+"02"+"05"+"776f726c64", [F(frame="Data",stream=2,offset=2,data="776f726c64")]),
 ("the document's Fin", "010402"+"07", [F(frame="Fin",stream=2,offset=7)]),
 ("the document's two frames", "01040200"+"0680808003", [F(frame="Fin",stream=2,offset=0),F(frame="ChannelCredit",limit=6291456)]),
 ("an Open without data", msg(op(0,262144,"postgres")), [F(frame="Open",stream=0,limit=262144,resource="postgres",data="")]),
 ("an Open with the longest name", msg(op(126,0,"n"*255)), [F(frame="Open",stream=126,limit=0,resource="n"*255,data="")]),
 ("a name that is not ASCII", msg(op(2,1,"gr\u00fcn")), [F(frame="Open",stream=2,limit=1,resource="gr\u00fcn",data="")]),
 ("the largest numbers", msg(cre(M,M,M)), [F(frame="Credit",stream=str(M),acknowledged=str(M),limit=str(M))]),
 ("numbers at the edges of their lengths", msg(cre(127,128,16384),cre(16383,2097151,2097152)), [F(frame="Credit",stream=127,acknowledged=128,limit=16384),F(frame="Credit",stream=16383,acknowledged=2097151,limit=2097152)]),
 ("data that ends at the last offset", msg(dat(0,M-1,b'z')), [F(frame="Data",stream=0,offset=str(M-1),data="7a")]),
 ("all reasons", msg(*[rst(2*r,r) for r in range(6)]), [F(frame="Reset",stream=2*r,reason=n) for r,n in enumerate(["Refused","TargetRefused","TargetUnreachable","Gone","Protocol","Stalled"])]),
 ("all that concerns no stream", msg(ch(4194305),st(65),pi(0),po(300)), [F(frame="ChannelCredit",limit=4194305),F(frame="StreamCredit",count=65),F(frame="Ping",number=0),F(frame="Pong",number=300)]),
 ("data between control frames", msg(acc(4,262144),dat(4,0,b'ab'),fin(4,2)), [F(frame="Accept",stream=4,limit=262144),F(frame="Data",stream=4,offset=0,data="6162"),F(frame="Fin",stream=4,offset=2)]),
 ("as many frames as there may be", msg(*[pi(7)]*64), [F(frame="Ping",number=7)]*64),
]
malformed=[
 ("nothing", "", "Truncated"),
 ("a version alone", "01", "MissingField"),
 ("version 0", "000800", "UnsupportedVersion"),
 ("version 2", "020800", "UnsupportedVersion"),
 ("an unknown tag", "010a00", "Unknown"),
 ("a tag alone", "0108", "Truncated"),
 ("a number cut short", "010880", "Truncated"),
 ("a number in two bytes that fits in one", "01088000", "Malformed"),
 ("a number of eleven bytes", "0108"+"ff"*10+"01", "OutOfRange"),
 ("a number of 65 bits", "0108"+"ff"*9+"02", "OutOfRange"),
 ("an unknown reason", msg(rst(0,6)), "Unknown"),
 ("a reason in two bytes", "01050080", "Unknown"),
 ("a reset without its reason", "010500", "Truncated"),
 ("an Open without a name", msg(op(0,1,"")), "MissingField"),
 ("a name of 256 bytes", msg(op(0,1,"n"*256)), "TooLong"),
 ("a name that is not UTF-8", msg(op(0,1,b'\xff\xfe')), "InvalidUtf8"),
 ("a name cut short", "01000001046465", "Truncated"),
 ("an Open without the length of its data", "010000010264"+"62", "Truncated"),
 ("first data cut short", "0100000102646203"+"6869", "Truncated"),
 ("a length in two bytes that fits in one", "01020000"+"8100"+"61", "Malformed"),
 ("empty data", msg(dat(0,0,b'')), "MissingField"),
 ("data of 131,073 bytes, announced", "01020000"+u(131073).hex(), "TooLong"),
 ("data of 2^63 bytes, announced", "01020000"+u(2**63).hex(), "TooLong"),
 ("data cut short", "0102000003"+"6162", "Truncated"),
 ("data that passes the last offset", msg(dat(0,M,b'z')), "OutOfRange"),
 ("65 frames", msg(*[pi(0)]*65), "TooLong"),
 ("a good frame and a bad one", msg(pi(0))+"ff", "Unknown"),
 ("a stray byte behind the frames", msg(pi(0))+"01", "Truncated"),
]
W=262144; C=4194304
o0=msg(op(0,W,"db"))
full=b'x'*131072
sessions=[
 # name, role of the end that receives, steps, error
 ("an Open of the receiver's parity","responder",[msg(op(1,W,"db"))],"WrongParity"),
 ("an id that was used","responder",[o0,o0],"IdReused"),
 ("an id that was used and is over","responder",[o0,msg(rst(0,3)),o0],"IdReused"),
 ("an id that was passed over","responder",[msg(op(8,W,"db")),msg(op(4,W,"db"))],"IdReused"),
 ("data for a stream that was never opened","responder",[msg(dat(0,0,b'a'))],"UnknownStream"),
 ("a Fin for a stream that was never opened","responder",[o0,msg(fin(2,0))],"UnknownStream"),
 ("a frame for a stream that only the receiver opens","responder",[o0,msg(cre(1,0,W+1))],"UnknownStream"),
 ("first data beyond the credit","responder",[msg(op(0,W,"db",full)),msg(dat(0,131072,full)),msg(dat(0,262144,b'a'))],"StreamCreditExceeded"),
 ("an Open with a window that is too large","responder",[msg(op(0,2**24+1,"db"))],"WindowTooLarge"),
 ("more streams than may be opened","responder",[msg(*[op(2*i,W,"d") for i in range(64)]),msg(op(128,W,"d"))],"TooManyStreams"),
 ("an acceptance of the sender's own stream","responder",[o0,msg(acc(0,W))],"UnexpectedAccept"),
 ("data that leaves a gap","responder",[msg(op(0,W,"db",b'ab')),msg(dat(0,3,b'c'))],"WrongOffset"),
 ("data that repeats","responder",[msg(op(0,W,"db",b'ab')),msg(dat(0,1,b'b'))],"WrongOffset"),
 ("an end before its time","responder",[msg(op(0,W,"db",b'ab')),msg(fin(0,1))],"WrongFinalOffset"),
 ("an end beyond what came","responder",[msg(op(0,W,"db",b'ab')),msg(fin(0,3))],"WrongFinalOffset"),
 ("a second end","responder",[msg(op(0,W,"db",b'ab')),msg(fin(0,2)),msg(fin(0,2))],"AfterFin"),
 ("a second end with another offset","responder",[msg(op(0,W,"db",b'ab')),msg(fin(0,2)),msg(fin(0,3))],"AfterFin"),
 ("data after the end","responder",[msg(op(0,W,"db",b'ab'),fin(0,2),dat(0,2,b'c'))],"AfterFin"),
 ("an acknowledgement of what was not sent","responder",[o0,msg(cre(0,1,W+1))],"WrongAcknowledgement"),
 ("a credit that changes nothing","responder",[o0,msg(cre(0,0,W))],"CreditNotRaised"),
 ("a credit that takes back","responder",[o0,msg(cre(0,0,W-1))],"CreditNotRaised"),
 ("a credit of too large a window","responder",[o0,msg(cre(0,0,2**24+1))],"WindowTooLarge"),
 ("a channel credit that changes nothing","responder",[msg(ch(C))],"CreditNotRaised"),
 ("a stream credit that changes nothing","initiator",[msg(st(64))],"CreditNotRaised"),
 ("an answer to no Ping","responder",[msg(po(5))],"UnexpectedPong"),
 ("a stream of a responder that was not asked","initiator",[msg(op(1,W,"db"))],"Unasked"),
 ("data before the acceptance","initiator",["open",msg(dat(0,0,b'a'))],"NotAccepted"),
 ("an end before the acceptance","initiator",["open",msg(fin(0,0))],"NotAccepted"),
 ("a credit before the acceptance","initiator",["open",msg(cre(0,0,W+1))],"NotAccepted"),
 ("a second acceptance","initiator",["open",msg(acc(0,W)),msg(acc(0,W))],"UnexpectedAccept"),
 ("an acceptance that takes credit back","initiator",["open",msg(acc(0,W-1))],"CreditNotRaised"),
 ("an acceptance of too large a window","initiator",["open",msg(acc(0,2**24+1))],"WindowTooLarge"),
 ("a malformed message","responder",["0105"],"Malformed"),
 ("frames for streams that are over","responder",[msg(op(0,W,"db",b'ab')),msg(rst(0,3)),msg(dat(0,2,b'c'),dat(0,99,b'd'),fin(0,7),cre(0,9,9),rst(0,3))],None),
 ("frames for a stream that was passed over","responder",[msg(op(8,W,"db")),msg(dat(4,0,b'a'),rst(4,3))],None),
 ("a refusal","initiator",["open",msg(rst(0,0)),msg(acc(0,W))],None),
 ("credits that raise","responder",[o0,msg(cre(0,0,W+1),ch(C+1),cre(0,0,2**24))],None),
]
hellos=[
 # name, bytes, what it names or how it fails, the version of the answer
 ("ours","01"+u(1).hex(),1,1),
 ("of a later release","01"+u(300).hex(),300,1),
 ("with something behind it","01"+u(1).hex()+"ffee",1,1),
 ("of no version","01"+u(0).hex(),0,None),
 ("of another form","02"+u(1).hex(),"UnsupportedVersion",None),
 ("cut short","01","Truncated",None),
 ("cut short in its number","0180","Truncated",None),
 ("a number not in its shortest form","018100","Malformed",None),
 ("empty","","Truncated",None),
]
out = {
    "hellos": [dict(name=n, hex=h, answer=a and "01"+u(a).hex(), **({"portal": p} if isinstance(p, int) else {"error": p})) for n, h, p, a in hellos],
    "messages": [dict(name=n, hex=h, frames=f) for n, h, f in messages],
    "malformed": [dict(name=n, hex=h, error=e) for n, h, e in malformed],
    "sessions": [
        dict(name=n, receiver=r, steps=[step.replace(full.hex(), "<131072 x 78>") for step in s], error=e)
        for n, r, s, e in sessions
    ],
}
print(json.dumps(out, indent=1))
