// Digests of outcomes, made by the tests with APUS_COMPARE_HOST where host and software agreed in every case.

let agreedDigests = """
  """
