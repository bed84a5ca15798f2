"""Values that settings refuse."""

from stream_persona.settings import Settings

LONG = "x" * 250
#: Values that each setting refuses, with a part of the sentence.
WRONG: dict[str, dict[str, str]] = {
    "brokers": {
        "": "expected `host:port", "a,,b": "expected `host:port", "kafka://a:9092": "expected",
        "a:99999": "expected", "a:0": "expected", "a b:1": "expected", "a:b": "expected",
        "a\tb:1": "cannot be printed", "user@a:1": "expected",
    },
    "redis_url": {
        "": "expected redis://host:port/db", "localhost:6379": "expected redis://",
        "http://a:6379": "expected redis://", "redis://:6379/0": "expected redis://",
        "redis://a:99999/0": "expected redis://", "redis://a:port/0": "expected redis://",
        "redis://a:6379/zero": "expected redis://", "redis://a:6379/-1": "expected redis://",
        "redis://u:p#w@a:6379/0": "percent-encode", "redis://a:6379/0 ": "take away the blanks",
        "redis://u:p/w@a:6379/0": "percent-encode",
        "redis://u:p?w@a:6379/0": "percent-encode", "redis://u:p w#x@a:6379/0": "percent-encode",
        "redis://a:6379/0?nonsense=1": "unexpected keyword argument 'nonsense'",
        "redis://a:6379/0?socket_timeout=soon": "Invalid value for 'socket_timeout'",
        "redis://a:6379/0?decode_responses=True": "decode_responses makes text of them",
        "rediss://a:6379/0?ssl_cert_reqs=no": "Invalid SSL Certificate Requirements",
        "rediss://a:6379/0?ssl_cert_reqs=none": "a certificate is always verified",
        "rediss://a:6379/0?ssl_check_hostname=no": "a server's name is always verified",
        "rediss://a:6379/0?ssl_ca_certs=nowhere.pem": "there is no nowhere.pem",
    },
    "redis_password": {"a\x00b": "no login takes"},
    **{
        f"{server}_{kind}_file": {"nowhere.pem": sentence}
        for server, sentence in {
            "kafka": "set STREAM_PERSONA_KAFKA_SECURITY to SSL or SASL_SSL, or unset it",
            "redis": "begin STREAM_PERSONA_REDIS_URL with rediss://, or unset it",
        }.items()
        for kind in ("ca", "cert", "key")
    },
    "kafka_security": {"": "expected PLAINTEXT, SSL", "TLS": "or SASL_SSL", "sasl": "expected"},
    "kafka_sasl_mechanism": {
        "GSSAPI": "or OAUTHBEARER", "PLAIN": "it has no effect; set STREAM_PERSONA_KAFKA_SECURITY"
    },
    "kafka_username": {" a": "take away the blanks", "a": "it has no effect", "a\x07": "printed"},
    "kafka_password": {"secret": "it has no effect", "a\x00b": "no login takes"},
    "kafka_token_url": {
        "https://idp.example/token": "it has no effect", "http://idp.example/": "expected https://",
        "idp.example": "expected https://", "https://u:pw@idp.example/": "without a login in it",
        "ftp://idp.example": "expected https://", "https://idp.example:port/": "expected https://",
    },
    "kafka_token_scope": {"kafka": "it has no effect", " a": "take away the blanks"},
    "taxonomy": {
        "": "name a file, or unset it", "nowhere.toml": "cannot be read", ".": "cannot be read",
        "binary.toml": "cannot be read", "empty.toml": "2 to 24 [[persona]] tables are needed",
        "a\nb": "cannot be printed",
    },
    "sources": {
        "": "name a file, or unset it", "nowhere.toml": "cannot be read",
        "binary.toml": "cannot be read", "empty.toml": "at least one [[source]] table is needed",
        "a\nb": "cannot be printed",
    },
    "catalogue": {"": "name a file, or unset it", "a\x07": "cannot be printed"},
    "registry_username": {"a\x07": "cannot be printed"},
    "registry_password": {"a\x00": "no login takes"},
    "group": {
        "": "expected a name of 1 to", " mine": "take away the blanks", "a\x07": "be printed",
        "x" * 1_001: "expected a name of 1 to",
    },
    "prefix": {"a\x00b:": "cannot be printed", "mine: ": "take away the blanks"},
    "partitions": {"": "integer", "0": "greater than 0", "10001": "10000", "8.5": "integer"},
    "replication": {"0": "greater than 0", "10": "or equal to 9", "one": "integer"},
    "declare_topics": {"": "boolean", "perhaps": "boolean"},
    "api_host": {
        "": "expected an address", "127.0.0.1:8000": "expected an address", "[::1]": "expected",
        "http://127.0.0.1": "expected an address", "two names": "expected an address",
    },
    "api_port": {"": "integer", "-1": "or equal to 0", "65536": "65535", "http": "integer"},
    "api_keys": {
        "schlüssel": "of ASCII alone", "a\nb": "of ASCII alone",
        "a-secret": "openssl rand -hex 24", "long-enough-as-a-key,short": "at least 16 characters",
    },
    "api_keys_file": {"": "name a file, or unset it", "a\x07": "cannot be printed"},
    "oidc_issuer": {
        "id.example": "expected https://", "http://id.example": "expected https://",
        "https://id.example": "OIDC_CLIENT_ID, STREAM_PERSONA_OIDC_CLIENT_SECRET",
    },
    "oidc_client_id": {
        "a\x07": "cannot be printed", "dashboard": "set STREAM_PERSONA_OIDC_ISSUER,",
    },
    "oidc_client_secret": {
        "short": "of 16 bytes at least",
        "a-long-secret-there": "set STREAM_PERSONA_OIDC_ISSUER,",
    },
    "oidc_redirect_url": {"http://shop.example/login/callback": "expected https://"},
    "audit_file": {"": "name a file, or unset it", "a\x07": "cannot be printed"},
    "api_cors_origins": {
        "shop.example": "expected origins", "https://shop.example/": "expected origins",
        "https://a:443": "leave out the port", "http://a:80": "leave out the port",
        "https://u@a": "expected origins",
    },
    "api_max_body_bytes": {"0": "greater than 0", "100000001": "100000000"},
    "api_requests_per_second": {"-1": "or equal to 0", "nan": "finite", "inf": "finite"},
    "rank_holdout": {"1.1": "or equal to 1", "-0.1": "or equal to 0", "nan": "finite"},
    "rank_ambiguous": {"both": "'baseline' or 'mixture'", "": "'baseline' or 'mixture'"},
    "tastes": {"": "boolean", "perhaps": "boolean"},
    "rank_salt": {"a\x00": "cannot be printed"},
    "nobody_ids": {"guest,a\x00": "cannot be printed"},
    "metrics_host": {"": "expected an address", "127.0.0.1:9464": "expected an address"},
    "metrics_port": {"65536": "65535", "http": "integer"},
    "log_level": {"": "expected DEBUG, INFO", "loud": "expected DEBUG, INFO", "0": "expected"},
    **{
        name: {
            "": "expected 1 to 249", LONG: "expected 1 to 249", ".": "expected 1 to 249",
            "..": "expected 1 to 249", "a b": "expected 1 to 249", "käufe": "expected 1 to 249",
            "__consumer_offsets": "Kafka's own",
        }
        for name in Settings.model_fields if name.startswith("topic_")
    },
    "max_batch_records": {"0": "greater than 0", "100001": "100000"},
    "commit_interval": {"0": "greater than 0", "61": "60", "nan": "finite", "inf": "finite"},
    "model_interval": {"0": "greater than 0", "61": "60", "nan": "finite"},
    "model": {
        "": "write module:Class", "nonsense": "write module:Class",
        "no_such_module:Model": "cannot be imported",
        "tests.support.wrong_module:Model": "cannot be imported",
        "river.naive_bayes:Nope": "cannot be imported",
        "tests.support.wrong_classifiers:Unrelated": "neither a class nor an estimator",
        "tests.support.wrong_classifiers:Unmade": "it cannot be made (no data set)",
        "tests.support.wrong_classifiers:Unlearning": "failed to learn: the tree has no root",
        "tests.support.wrong_classifiers:Silent": "failed to predict: no answer",
        "river.naive_bayes:MultinomialNB(alpha=0)": "failed to predict: math domain error",
    },
    "challengers": {
        "additive,nonsense": "'nonsense' is no River classifier",
        "tests.support.wrong_classifiers:Silent": "failed to predict: no answer; leave it out",
        "tests.support.wrong_classifiers:Unlearning": "failed to learn",
        "tests.support.wrong_module:Model": "cannot be imported",
    },
    "sweep_rate": {"-1": "or equal to 0", "nan": "finite", "inf": "finite"},
    "session_timeout": {"0": "or equal to 1", "1801": "1800", "nan": "finite"},
    "cached_customers": {"0": "greater than 0", "1e10": "integer"},
    "deletion_marker_days": {"0": "0.001", "nan": "finite", "inf": "finite", "36501": "36500"},
    "retry_seconds": {"0": "0.1", "nan": "finite", "inf": "finite", "86401": "86400"},
}  # fmt: skip
