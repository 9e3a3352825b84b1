"""Work in several threads at once."""

from threading import Barrier, Thread


def in_threads(count, work):
    """Runs `work(number)` in so many threads at once; the first error of any is raised."""
    errors, together = [], Barrier(count)

    def guarded(number):
        try:
            together.wait()
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
