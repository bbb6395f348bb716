//! Requests and answers, byte by byte, against httpmock.
