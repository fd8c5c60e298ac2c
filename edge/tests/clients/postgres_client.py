"""psycopg with the newest libpq: postgres_client.py DSN DOES [..]. The last line that it prints is JSON.

query SQL          the rows, or the error; whether TLS is in use and which libpq this is
cancel             a query that would take a minute, cancelled over a connection as safe as its own
listen CHANNEL     prints `listening`, then waits for one notification on that session
"""

import json
import sys
import threading

import psycopg

dsn, does, *rest = sys.argv[1:]


def say(**what):
    print(json.dumps({"libpq": psycopg.pq.version(), **what}, default=str), flush=True)


def query(sql):
    with psycopg.connect(dsn, autocommit=True) as connection:
        rows = connection.execute(sql).fetchall()
        say(ok=True, rows=rows, tls=bool(connection.pgconn.ssl_in_use))


def cancel():
    with psycopg.connect(dsn, autocommit=True) as connection, psycopg.connect(dsn, autocommit=True) as watcher:
        failures = []

        def work():
            try:
                connection.execute("select pg_sleep(60)")
            except psycopg.Error as error:
                failures.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        state = "select state from pg_stat_activity where pid = %s and query like '%%pg_sleep%%'"
        while watcher.execute(state, [connection.pgconn.backend_pid]).fetchone() != ("active",):
            pass
        # Returns when the server has closed the connection that asked, so once is enough.
        connection.cancel_safe(timeout=20)
        thread.join()
        after = connection.execute("select 1").fetchone()
        say(ok=not failures, error=str(failures and failures[0]), sqlstate=failures and failures[0].sqlstate, after=after)


def listen(channel):
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"listen {channel}")
        print("listening", flush=True)
        for notification in connection.notifies(timeout=900, stop_after=1):
            say(ok=True, payload=notification.payload)


try:
    {"query": query, "cancel": cancel, "listen": listen}[does](*rest)
except psycopg.Error as error:
    say(ok=False, error=str(error), sqlstate=error.sqlstate)
